"""The native trainer: full fine-tuning of any Hugging Face causal language model in a plain loop.

One run: sample every domain's rows by name, order all conversations by keys that depend on (seed, domain) alone,
pack them, and take one AdamW step per batch on the mean loss over the batch's supervised tokens. Nothing depends
on what the process did before, so a run's record is the same to the bit in any worker.

The order of two conversations is the same in every mixture of a seed that contains both: like the nested samples
themselves, this cancels noise between runs.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from mixlaw.core.errors import DataError, MixlawError
from mixlaw.core.run import EXPERT, RunRecord, RunSpec, TargetLoss
from mixlaw.core.seeds import seed_from
from mixlaw.train.attempt import Attempt, append_losses, not_finite, take_step
from mixlaw.train.causal_lm import CausalLM
from mixlaw.train.evaluation import ValidationSet
from mixlaw.train.guards import deterministic, out_of_memory_as_run_failed
from mixlaw.train.joining import speeds
from mixlaw.train.lora import check_fits, check_keys, check_values
from mixlaw.train.memory import free_gpu_memory, is_out_of_gpu_memory
from mixlaw.train.merging import merge_into, merged_record, save_expert
from mixlaw.train.pace import EVALUATED, TRAINED, WARM_UP, Pace, evenly, now, timed
from mixlaw.train.packing import PackedBatch, collate
from mixlaw.train.points import Row
from mixlaw.train.resuming import remove_checkpoints
from mixlaw.train.sample import Sample, conversation, draw_sample, pack_epoch, tokens_of
from mixlaw.train.schedule import adamw
from mixlaw.train.settings import ModelSettings
from mixlaw.train.together import can_join, train_together
from mixlaw.train.trainer import MODEL, Job, Progress, Trainer

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NativeOptions:
    """What the native trainer is told beyond `TrainSettings`; part of a run's identity.

    Attributes:
        peft: keys of PEFT's LoraConfig, such as `{"r": 16, "lora_alpha": 32, "target_modules": "all-linear"}`; None
            for full fine-tuning.
        gradient_checkpointing: keep no activations for the backward pass but compute them again: more time for
            less memory.

    Raises:
        ConfigError: a key of `peft` that would change the base model, or a value out of its range.
    """

    peft: Annotated[dict[str, Any] | None, Field(description="keys of PEFT's LoraConfig")] = None
    gradient_checkpointing: Annotated[bool, Field(description="compute activations again, to save memory")] = False

    def __post_init__(self) -> None:
        if self.peft is not None:
            check_values(self.peft)
            check_keys(self.peft)


_ARITHMETIC = 3
"""Raised when operations change their order or precision: checkpoints of another one are not continued. No data."""

_PROBED = 60
"""Batches of the validation sets, of all lengths, that a probe evaluates at the most. No data."""


class NativeTrainer(Trainer):
    """Trains on one device with float32 weights; keeps the base model in memory between runs.

    Args:
        device: a torch device; None for the first GPU, or the CPU. The others are those of every trainer.
    """

    name = "native"
    Options = NativeOptions
    packages = ("torch", "transformers")
    extra = "train"
    working_directory = "unused"
    base_model = "measured"
    merges = True
    points = True
    limits_rows = True

    def __init__(self, *given: Any, device: str | None = None, **more: Any) -> None:
        super().__init__(*given, **more)
        rows, settings = self.validation_rows, self.settings
        self.validation = {name: ValidationSet.of(name, rows[name], settings) for name in rows}
        options: NativeOptions = self.options
        self.lm = CausalLM(
            self.model, settings, device, peft=options.peft, checkpointing=options.gradient_checkpointing
        )
        self.rows_at_once = self.most_rows
        self._check_ids()

    @classmethod
    def check_model(cls, options: NativeOptions, model: ModelSettings) -> None:
        """Raise ConfigError where PEFT does not take the keys of `peft` for the model."""
        if options.peft is not None:
            check_fits(options.peft, model)

    @classmethod
    def needs(cls, options: NativeOptions) -> tuple[str, ...]:
        """Return torch and transformers, and `peft` where LoRA is asked for."""
        return cls.packages if options.peft is None else (*cls.packages, "peft")

    def run(self, spec: RunSpec, *, folder: Path, progress: Progress | None = None) -> RunRecord:
        """Train and evaluate the run; `folder/metrics.jsonl` receives one line a step.

        An expert leaves what it has learnt in `folder`; a merged run finds it in the folders beside.

        Raises:
            DataError: the spec asks for tokens of a domain that has no rows.
            RunFailed: a loss is not finite, an expert is missing, or memory ran out.
        """
        if spec.merge is not None:
            return self._merged(spec, folder)
        with out_of_memory_as_run_failed(spec, self.settings), deterministic(spec):
            began = time.perf_counter()
            sample = draw_sample(spec, self.train_rows, self.settings)
            attempt = self._train_in_memory(spec, sample, folder, progress)
            return self.finished(spec, sample, attempt, folder, time.perf_counter() - began)

    def finished(
        self, spec: RunSpec, sample: Sample, attempt: Attempt | None, folder: Path, trained_s: float
    ) -> RunRecord:
        """Evaluate a run that has trained, keep what it is to leave, and return its record.

        Args:
            spec: the run.
            sample: its rows.
            attempt: its training; None where there was none.
            folder: its own.
            trained_s: seconds of its training, points along the way included.
        """
        steps, points = (len(attempt.plan), attempt.points) if attempt else (0, None)
        began = time.perf_counter()
        losses = self.evaluate()
        append_losses(folder, {"step": steps}, losses)
        evaluated_s = time.perf_counter() - began
        if spec.keep_model:
            self.lm.save(folder / MODEL)
        if spec.role == EXPERT:
            save_expert(self.lm, spec, folder)
        remove_checkpoints(folder)
        for target, loss in losses.items():
            if not math.isfinite(loss.nats):
                raise not_finite(spec, f"the validation loss of '{target}'", loss.nats, self.settings)
        along_s = points.evaluation_s if points else 0.0
        self.timing = {
            "train_s": trained_s - along_s,
            "evaluate_s": evaluated_s + along_s,
            "tokens_per_s": sum(sample.tokens.values()) / (trained_s - along_s),
            **self.environment(),
        }
        record = sample.record(spec, losses, steps, self.lm.parameters)
        return replace(record, points=tuple(points.reached)) if points else record

    def together(self, specs: Sequence[RunSpec], most: int) -> Mapping[int, float]:
        """Measure a few steps of LoRA runs one by one and at once; as many at once as a CPU takes rows."""
        joining = [spec for spec in specs if can_join(self, spec)]
        limit = min(most, len(joining), self.lm.rows_at_once // self.most_rows)
        return speeds(self, joining, limit) if limit > 1 else {}

    def can_join(self, spec: RunSpec) -> bool:
        """Return whether a run trains an adapter and leaves nothing else."""
        return can_join(self, spec)

    def run_together(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, RunRecord | MixlawError]]:
        """Train adapters of several runs over one base, in one batch."""
        return train_together(self, jobs)

    def pace(self, spec: RunSpec, *, folder: Path, seconds: float) -> list[Pace]:
        """Return the pace of such runs, from some of its steps and some batches of the validation sets."""
        batches = sorted(
            (b for target in self.validation.values() for b in target.batches), key=lambda b: -b.input_ids_BT.size
        )
        with out_of_memory_as_run_failed(spec, self.settings), deterministic(spec):
            began = now()
            plan = self.plan(spec, draw_sample(spec, self.train_rows, self.settings))
            self.lm.reset()
            fixed = now() - began
            optimiser = adamw(self.lm.network, self.settings)
            self.lm.network.train()
            rate = 0.0  # the weights stay as they are: a loss that is not finite would end the probe
            train, steps = timed(
                plan, lambda rows: self._step_at(rate, spec, optimiser, self._batches(rows)), TRAINED * seconds
            )
            self.lm.network.eval()
            places = evenly(len(batches), _PROBED)
            evaluate, count = timed(places, lambda i: self.lm.token_nats(batches[i]), EVALUATED * seconds)
        warm, of_steps = min(WARM_UP, len(plan) - 1), [tokens_of(rows, self.train_rows) for rows in plan]
        tokens = sum(of_steps[warm : warm + steps])
        warm = min(WARM_UP, len(places) - 1)
        part = sum(batches[i].input_ids_BT.size for i in places[warm : warm + count])
        evaluate *= sum(b.input_ids_BT.size for b in batches) / part
        return [
            Pace(0.0, float(f), tokens / float(t), float(e)) for f, t, e in zip(fixed, train, evaluate, strict=True)
        ]

    def _merged(self, spec: RunSpec, folder: Path) -> RunRecord:
        """Evaluate the merge of experts that are trained."""
        with out_of_memory_as_run_failed(spec, self.settings), deterministic(spec):
            began = time.perf_counter()
            self.lm.reset()
            merge_into(self.lm, spec, folder.parent)
            losses = self.evaluate()
        self.timing = {"train_s": 0.0, "evaluate_s": time.perf_counter() - began, **self.environment()}
        return merged_record(spec, losses, self.lm.parameters)

    def evaluate(self) -> dict[str, TargetLoss]:
        """Return the losses of the network as it stands."""
        self.lm.network.eval()
        return {name: target.evaluate(self.lm) for name, target in self.validation.items()}

    def environment(self) -> dict[str, Any]:
        """Return device, precision, attention, threads, versions and what else the bits of a record depend on."""
        import torch
        import transformers

        return {
            "device": str(self.lm.device),
            "precision": "bfloat16" if self.lm.bfloat16 else "float32",
            "attention": self.lm.attention,
            "threads": torch.get_num_threads(),
            "rows_at_once": self.rows_at_once,
            "arithmetic": _ARITHMETIC,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }

    @property
    def most_rows(self) -> int:
        """Rows of a batch that are computed at once, unless a GPU's memory runs out."""
        return min(self.settings.per_device_train_batch_size, self.lm.rows_at_once)

    def _train_in_memory(
        self, spec: RunSpec, sample: Sample, folder: Path, progress: Progress | None
    ) -> Attempt | None:
        """Train the run; where a GPU's memory runs out, from its start with half as many rows at once.

        The batch of a step stays what it was. Every run begins with all rows, so that it depends on no other.
        """
        size = self.most_rows
        while True:
            self.rows_at_once = size
            self.begin(spec)
            try:
                if spec.untrained:
                    return None
                attempt = self.attempt(spec, sample, folder)
                while not attempt.ended:
                    self.step(attempt, progress)
                return attempt
            except Exception as error:
                if size == 1 or not is_out_of_gpu_memory(error):
                    raise
            size = (size + 1) // 2
            _log.warning("%s", f"Run '{spec.name}' ran out of GPU memory. It begins again with {size} rows at once.")
            free_gpu_memory(self.lm.network)

    def begin(self, spec: RunSpec) -> None:
        """Put the base model back, with the run's new adapter where one is trained."""
        self.lm.reset(seed_from("adapter", spec.seed))

    def step(self, attempt: Attempt, progress: Progress | None) -> None:
        """Take the next step of a run."""
        attempt.begin()
        nats, count = self._gradients(self._batches(attempt.rows))
        attempt.finish(nats, count, self.evaluate, progress)

    def attempt(self, spec: RunSpec, sample: Sample, folder: Path) -> Attempt:
        """Return a run from its last checkpoint on, in the network."""
        self.lm.network.train()
        return Attempt(
            spec,
            self.plan(spec, sample),
            self.lm.network,
            self.settings,
            folder=folder,
            identity={"run": spec.id, **self.environment()},
            train_rows=self.train_rows,
        )

    def _gradients(self, batches: list[PackedBatch]) -> tuple[float, int]:
        """Add the gradients of the mean over all batches' supervised tokens; return their nats, and how many."""
        count, nats = sum(len(batch.labels_S) for batch in batches), 0.0
        for batch in batches:
            if len(batch.labels_S):
                loss = self.lm.sum_nats(batch)
                (loss / count).backward()
                nats += loss.item()
        return nats, count

    def _step_at(self, rate: float, spec: RunSpec, optimiser: Any, batches: list[PackedBatch]) -> None:
        optimiser.zero_grad(set_to_none=True)
        nats, count = self._gradients(batches)
        if count:
            take_step(spec, self.lm.network, optimiser, self.settings, rate, nats / count)

    def plan(self, spec: RunSpec, sample: Sample) -> list[list[list[tuple[str, int]]]]:
        """Return the packed rows of each step."""
        settings = self.settings
        epochs = [
            pack_epoch(spec, sample, self.train_rows, settings, epoch) for epoch in range(settings.num_train_epochs)
        ]
        whole = settings.per_device_train_batch_size * settings.gradient_accumulation_steps
        return [rows[i : i + whole] for rows in epochs for i in range(0, len(rows), whole)]

    def batch(self, rows: Sequence[Row]) -> PackedBatch:
        """Return the batch of some packed rows."""
        length = self.settings.max_length if self.settings.packing else None
        return collate([[conversation(self.train_rows[d], r) for d, r in row] for row in rows], length)

    def _batches(self, rows: Sequence[Row]) -> list[PackedBatch]:
        """Return what is computed at once of a step."""
        return [self.batch(rows[i : i + self.rows_at_once]) for i in range(0, len(rows), self.rows_at_once)]

    def _check_ids(self) -> None:
        for name, rows in [*self.train_rows.items(), *self.validation_rows.items()]:
            largest = int(rows.ids.max()) if len(rows.ids) else 0
            if largest >= self.lm.vocabulary:
                raise DataError(
                    f"'{name}' holds the token id {largest}; the model's vocabulary has {self.lm.vocabulary} entries.",
                    "Use the tokenizer that belongs to the model.",
                )
