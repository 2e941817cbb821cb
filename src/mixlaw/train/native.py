"""The native trainer: full fine-tuning of any Hugging Face causal language model in a plain loop.

One run: sample every domain's rows by name, order all conversations by keys that depend on (seed, domain) alone,
pack them, and take one AdamW step per batch on the mean loss over the batch's supervised tokens. Nothing depends
on what the process did before, so a run's record is the same to the bit in any worker.

The order of two conversations is the same in every mixture of a seed that contains both: like the nested samples
themselves, this cancels noise between runs.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from mixlaw.core.errors import DataError, RunFailed
from mixlaw.core.run import EXPERT, RunRecord, RunSpec, TargetLoss
from mixlaw.core.seeds import seed_from
from mixlaw.train.causal_lm import CausalLM
from mixlaw.train.evaluation import ValidationSet
from mixlaw.train.lora import check_keys
from mixlaw.train.memory import free_gpu_memory, is_out_of_gpu_memory
from mixlaw.train.merging import merge_into, merged_record, save_expert
from mixlaw.train.pace import EVALUATED, TRAINED, WARM_UP, Pace, evenly, now, timed
from mixlaw.train.packing import PackedBatch, collate
from mixlaw.train.points import Points
from mixlaw.train.resuming import Checkpoints, keep_lines, remove_checkpoints
from mixlaw.train.sample import Sample, conversation, draw_sample, pack_epoch, tokens_of
from mixlaw.train.schedule import adamw, rate_factor
from mixlaw.train.settings import TrainSettings
from mixlaw.train.trainer import MODEL, Progress, Trainer

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
        ConfigError: a key of `peft` that would change the base model.
    """

    peft: Annotated[dict[str, Any] | None, Field(description="keys of PEFT's LoraConfig")] = None
    gradient_checkpointing: Annotated[bool, Field(description="compute activations again, to save memory")] = False

    def __post_init__(self) -> None:
        if self.peft is not None:
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
        self.rows_at_once = self._most_rows
        self._check_ids()

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
        with _out_of_memory_as_run_failed(spec, self.settings), _deterministic(spec):
            began = time.perf_counter()
            sample = draw_sample(spec, self.train_rows, self.settings)
            steps, points = self._train_in_memory(spec, sample, folder, progress)
            trained = time.perf_counter()
            losses = self._evaluate()
            _write_losses(folder, {"step": steps}, losses)
            ended = time.perf_counter()
            if spec.keep_model:
                self.lm.save(folder / MODEL)
            if spec.role == EXPERT:
                save_expert(self.lm, spec, folder)
            remove_checkpoints(folder)
        for target, loss in losses.items():
            if not math.isfinite(loss.nats):
                raise _not_finite(spec, f"the validation loss of '{target}'", loss.nats, self.settings)
        along_s = points.evaluation_s if points else 0.0
        self.timing = {
            "train_s": trained - began - along_s,
            "evaluate_s": ended - trained + along_s,
            "tokens_per_s": sum(sample.tokens.values()) / (trained - began - along_s),
            **self.environment(),
        }
        record = sample.record(spec, losses, steps, self.lm.parameters)
        return replace(record, points=tuple(points.reached)) if points else record

    def pace(self, spec: RunSpec, *, folder: Path, seconds: float) -> list[Pace]:
        """Return the pace of such runs, from some of its steps and some batches of the validation sets."""
        batches = sorted(
            (b for target in self.validation.values() for b in target.batches), key=lambda b: -b.input_ids_BT.size
        )
        with _out_of_memory_as_run_failed(spec, self.settings), _deterministic(spec):
            began = now()
            plan = self._plan(spec, draw_sample(spec, self.train_rows, self.settings))
            self.lm.reset()
            fixed = now() - began
            optimiser = adamw(self.lm.network, self.settings)
            self.lm.network.train()
            rate = 0.0  # the weights stay as they are: a loss that is not finite would end the probe
            train, steps = timed(
                plan, lambda rows: self._step(spec, optimiser, self._batches(rows), rate), TRAINED * seconds
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
        with _out_of_memory_as_run_failed(spec, self.settings), _deterministic(spec):
            began = time.perf_counter()
            self.lm.reset()
            merge_into(self.lm, spec, folder.parent)
            losses = self._evaluate()
        self.timing = {"train_s": 0.0, "evaluate_s": time.perf_counter() - began, **self.environment()}
        return merged_record(spec, losses, self.lm.parameters)

    def _evaluate(self) -> dict[str, TargetLoss]:
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
    def _most_rows(self) -> int:
        """Rows of a batch that are computed at once, unless a GPU's memory runs out."""
        return min(self.settings.per_device_train_batch_size, self.lm.rows_at_once)

    def _train_in_memory(
        self, spec: RunSpec, sample: Sample, folder: Path, progress: Progress | None
    ) -> tuple[int, Points | None]:
        """Train the run; where a GPU's memory runs out, from its start with half as many rows at once.

        The batch of a step stays what it was. Every run begins with all rows, so that it depends on no other.
        """
        size = self._most_rows
        while True:
            self.rows_at_once = size
            self.lm.reset(seed_from("adapter", spec.seed))
            try:
                return (0, None) if spec.untrained else self._train(spec, sample, folder, progress)
            except Exception as error:
                if size == 1 or not is_out_of_gpu_memory(error):
                    raise
            size = (size + 1) // 2
            _log.warning("%s", f"Run '{spec.name}' ran out of GPU memory. It begins again with {size} rows at once.")
            free_gpu_memory(self.lm.network)

    def _train(
        self, spec: RunSpec, sample: Sample, folder: Path, progress: Progress | None
    ) -> tuple[int, Points | None]:
        settings, plan = self.settings, self._plan(spec, sample)
        optimiser = adamw(self.lm.network, settings)
        points = Points(spec, plan, self.train_rows, self.lm.network) if spec.points else None
        self.lm.network.train()
        identity = {"run": spec.id, **self.environment()}
        checkpoints = Checkpoints(folder, identity, self.lm.network, optimiser, points)
        begin = checkpoints.restore()
        keep_lines(folder / "metrics.jsonl", begin)
        for step, rows in enumerate(plan[begin:], begin):
            factor = rate_factor(step, len(plan), settings, "constant" if points else None)
            rate = settings.learning_rate * factor
            loss = self._step(spec, optimiser, self._batches(rows), rate)
            line = {"step": step + 1, "steps": len(plan), "loss": loss, "learning_rate": rate}
            with open(folder / "metrics.jsonl", "a", encoding="utf-8") as metrics:
                metrics.write(json.dumps(line) + "\n")
            if points and points.after(step + 1, self._evaluate):
                share = points.shares[len(points.reached) - 1]
                _write_losses(folder, {"step": step + 1, "share": share}, points.reached[-1].losses)
            checkpoints.save_if_due(step + 1)
            if progress:
                progress(step + 1, len(plan), loss)
        return len(plan), points

    def _step(self, spec: RunSpec, optimiser: Any, batches: list[PackedBatch], rate: float) -> float:
        """Take one optimiser step on the mean over all batches' supervised tokens; return that mean, nats."""
        import torch

        count = sum(len(batch.labels_S) for batch in batches)
        if count == 0:
            return 0.0
        optimiser.zero_grad(set_to_none=True)
        nats = 0.0
        for batch in batches:
            if len(batch.labels_S):
                loss = self.lm.sum_nats(batch)
                (loss / count).backward()
                nats += loss.item()
        limit = self.settings.max_grad_norm or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.lm.network.parameters(), limit).item()
        for what, value in (("the training loss", nats / count), ("the gradient's norm", norm)):
            if not math.isfinite(value):
                raise _not_finite(spec, what, value, self.settings)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
        return nats / count

    def _plan(self, spec: RunSpec, sample: Sample) -> list[list[list[tuple[str, int]]]]:
        """Return the packed rows of each step."""
        settings = self.settings
        epochs = [
            pack_epoch(spec, sample, self.train_rows, settings, epoch) for epoch in range(settings.num_train_epochs)
        ]
        whole = settings.per_device_train_batch_size * settings.gradient_accumulation_steps
        return [rows[i : i + whole] for rows in epochs for i in range(0, len(rows), whole)]

    def _batches(self, rows: list[list[tuple[str, int]]]) -> list[PackedBatch]:
        """Return what is computed at once of a step."""
        size, length = self.rows_at_once, self.settings.max_length if self.settings.packing else None
        return [
            collate([[conversation(self.train_rows[d], r) for d, r in row] for row in rows[i : i + size]], length)
            for i in range(0, len(rows), size)
        ]

    def _check_ids(self) -> None:
        for name, rows in [*self.train_rows.items(), *self.validation_rows.items()]:
            largest = int(rows.ids.max()) if len(rows.ids) else 0
            if largest >= self.lm.vocabulary:
                raise DataError(
                    f"'{name}' holds the token id {largest}; the model's vocabulary has {self.lm.vocabulary} entries.",
                    "Use the tokenizer that belongs to the model.",
                )


def _write_losses(folder: Path, where: dict[str, Any], losses: Mapping[str, TargetLoss]) -> None:
    """Append validation losses to the training log."""
    line = where | {"validation": {name: loss.loss_nats for name, loss in losses.items()}}
    with open(folder / "metrics.jsonl", "a", encoding="utf-8") as metrics:
        metrics.write(json.dumps(line) + "\n")


@contextlib.contextmanager
def _deterministic(spec: RunSpec) -> Iterator[None]:
    """Seed torch (dropout) from the run, choose deterministic kernels; put everything back at the end."""
    import torch

    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    with torch.random.fork_rng():
        torch.manual_seed(seed_from("torch", spec.seed, spec.id))
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])
            torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]


@contextlib.contextmanager
def _out_of_memory_as_run_failed(spec: RunSpec, settings: TrainSettings) -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        if not isinstance(error, MemoryError) and "out of memory" not in text and "can't allocate memory" not in text:
            raise
        raise RunFailed(
            f"Run '{spec.name}' ran out of memory with rows of {settings.max_length} tokens, "
            f"{settings.per_device_train_batch_size} rows a batch.",
            "Halve train.per_device_train_batch_size and double train.gradient_accumulation_steps, "
            "or use fewer workers.",
        ) from error


def _not_finite(spec: RunSpec, what: str, value: float, settings: TrainSettings) -> RunFailed:
    return RunFailed(
        f"Run '{spec.name}' diverged: {what} is {value} at learning_rate {settings.learning_rate:g}; "
        "only finite losses are recorded.",
        f"Lower train.learning_rate, for example to {settings.learning_rate / 4:.2g}.",
    )
