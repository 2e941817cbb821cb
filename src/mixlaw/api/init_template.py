"""The text of the mix.yaml that `init` writes, and its two ways to speak of the model."""

MODEL_BUNDLED = """\
  name_or_path: ./tiny_base        # the bundled model of 1M parameters: a rehearsal, minutes on a laptop
  # name_or_path: Qwen/Qwen2.5-0.5B  # for real weights: the model that you will train, or a small one of its
                                   # family (folder or Hugging Face id); then change the train settings, too"""

MODEL_GIVEN = """\
  name_or_path: {model}   # a folder or a Hugging Face id; its tokenizer and chat template count the tokens
  # revision: <commit>             # pins the version; with another one the runs are trained again"""

TRAIN_BUNDLED = """\
  learning_rate: 1.0e-3            # a model this small needs fifty times the usual rate; for yours 2.0e-5
  max_length: 512                  # longer rows are cut; for yours 2048
  per_device_train_batch_size: 4
  # gradient_accumulation_steps: 4"""

TRAIN_GIVEN = """\
  learning_rate: 2.0e-5
{max_length} # longer rows are cut
  per_device_train_batch_size: 4
  gradient_accumulation_steps: 4"""

TEMPLATE = """\
# mixlaw: how much of each dataset goes into the fine-tuning. Check it with `mixlaw check`, then `mixlaw run`.

{study} # the folder of runs, fits, mixtures and reports; made when first needed

model:
{model}

domains:                           # JSONL, JSON, CSV, Parquet, folders of them, or Hugging Face dataset ids
{domains}

validation: {{rows: 500}}            # rows of each domain held out for validation; at most a fifth of the domain
{budget} # training tokens of the final run; `mixlaw solve` also answers for others

plan:                              # the proxy runs: {spent}
  design: auto                     # auto (by max_cost) | perturbation | space_filling | grid | simplex_lattice
                                   # | dirichlet | d_optimal | g_optimal | sequential
{limit} # of the final run's cost: the most that all runs may cost, evaluations included
  # base_tokens: 30k               # instead of max_cost: tokens of each domain in the base run; other runs have from
                                   # a third to 3 times that. And runs: how many, by default 1 + 4 per domain
  # replicates: 2                  # repeats with other seeds: the base run and one-sided ones
  # points: [0.25, 0.5]            # evaluate each run on its way, too: the same training tells more
  # merges: 40                     # models averaged from short runs of one domain each, only evaluated
  seed: 0

train:                             # named as in Hugging Face transformers
{train}
  num_train_epochs: 1
{rows} # validation rows per domain after each run; they cost, too

solve:
  objective: mean                  # or max (the worst target), or weighted with target_weight: {{<domain>: 1}}
  max_epochs: 4                    # at most this many passes over a domain
  # groups: ["code + math <= 0.5"] # also: min, max, prior with prior_strength
  # no_worse: {{code: 2 %}}          # the loss on code at most 2 % above that of
  # reference: base                # the model before training; or with equal or natural weights
  # certainty: 90 %                # how surely; without this key, in the mean only
"""
