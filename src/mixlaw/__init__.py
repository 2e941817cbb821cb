"""mixlaw decides how much of each dataset goes into the supervised fine-tuning of a language model.

    runs = mixlaw.load_runs("runs.csv")
    fit = mixlaw.fit(runs)
    best = mixlaw.solve(fit, budget=20e6)

or, from datasets to weights, training files and a report: `mixlaw.run("mix.yaml")`.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mixlaw.api.adopt import adopt as adopt
    from mixlaw.api.compare import compare as compare
    from mixlaw.api.export import export as export
    from mixlaw.api.files import check as check
    from mixlaw.api.files import report as report
    from mixlaw.api.final import final as final
    from mixlaw.api.init import init as init
    from mixlaw.api.mixture import mix as mix
    from mixlaw.api.numbers import fit as fit
    from mixlaw.api.numbers import laws as laws
    from mixlaw.api.numbers import load_fit as load_fit
    from mixlaw.api.numbers import load_runs as load_runs
    from mixlaw.api.numbers import predict as predict
    from mixlaw.api.numbers import solve as solve
    from mixlaw.api.push import push as push
    from mixlaw.api.sweep import demo as demo
    from mixlaw.api.sweep import plan as plan
    from mixlaw.api.sweep import run as run
    from mixlaw.api.sweep import status as status
    from mixlaw.api.sweep import train as _train
    from mixlaw.api.verify import verify as verify
    from mixlaw.api.workers import cancel as cancel
    from mixlaw.core.errors import MixlawError as MixlawError
    from mixlaw.core.runtable import RunTable as RunTable
    from mixlaw.fit.result import Fit as Fit
    from mixlaw.report.plots import plot_budgets as plot_budgets
    from mixlaw.report.plots import plot_changes as plot_changes
    from mixlaw.report.plots import plot_curves as plot_curves
    from mixlaw.report.plots import plot_marginal as plot_marginal
    from mixlaw.report.plots import plot_measured as plot_measured
    from mixlaw.report.plots import plot_weights as plot_weights
    from mixlaw.solve.solution import Solution as Solution
    from mixlaw.train.registry import register as _register_trainer

    class _Train:
        __call__ = staticmethod(_train)
        register = staticmethod(_register_trainer)

    train = _Train()

# Imported on first use: `import mixlaw` loads neither SciPy nor torch.
_HOMES = {
    "adopt": "mixlaw.api.adopt",
    "cancel": "mixlaw.api.workers",
    "check": "mixlaw.api.files",
    "compare": "mixlaw.api.compare",
    "export": "mixlaw.api.export",
    "final": "mixlaw.api.final",
    "init": "mixlaw.api.init",
    "mix": "mixlaw.api.mixture",
    "push": "mixlaw.api.push",
    "report": "mixlaw.api.files",
    "fit": "mixlaw.api.numbers",
    "laws": "mixlaw.api.numbers",
    "load_runs": "mixlaw.api.numbers",
    "predict": "mixlaw.api.numbers",
    "solve": "mixlaw.api.numbers",
    "demo": "mixlaw.api.sweep",
    "plan": "mixlaw.api.sweep",
    "run": "mixlaw.api.sweep",
    "status": "mixlaw.api.sweep",
    "train": "mixlaw.api.sweep",
    "verify": "mixlaw.api.verify",
    "MixlawError": "mixlaw.core.errors",
    "RunTable": "mixlaw.core.runtable",
    "Fit": "mixlaw.fit.result",
    "Solution": "mixlaw.solve.solution",
    "load_fit": "mixlaw.api.numbers",
    "plot_budgets": "mixlaw.report.plots",
    "plot_changes": "mixlaw.report.plots",
    "plot_curves": "mixlaw.report.plots",
    "plot_marginal": "mixlaw.report.plots",
    "plot_measured": "mixlaw.report.plots",
    "plot_weights": "mixlaw.report.plots",
}

__all__ = [
    "Fit",
    "MixlawError",
    "RunTable",
    "Solution",
    "__version__",
    "adopt",
    "cancel",
    "check",
    "citation",
    "compare",
    "demo",
    "export",
    "final",
    "fit",
    "init",
    "laws",
    "load_fit",
    "load_runs",
    "mix",
    "plan",
    "plot_budgets",
    "plot_changes",
    "plot_curves",
    "plot_marginal",
    "plot_measured",
    "plot_weights",
    "predict",
    "push",
    "report",
    "run",
    "solve",
    "status",
    "train",
    "verify",
]


# Subpackages with a verb's name that offer more than the verb: `mixlaw.train.register`.
_OPEN = ("laws", "train")


class _Verb(ModuleType):
    """A subpackage that has a verb's name, such as `mixlaw.fit`: called, it is the verb."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return _verb(self.__name__.rpartition(".")[2])(*arguments, **options)


class _Package(ModuleType):
    """Keeps verbs callable: importing the subpackage `mixlaw.fit` puts a module in the place of `mixlaw.fit()`."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOMES and isinstance(value, ModuleType):
            value.__class__ = _Verb
        super().__setattr__(name, value)


def _verb(name: str) -> Any:
    return getattr(importlib.import_module(_HOMES[name]), name)


sys.modules[__name__].__class__ = _Package


if not TYPE_CHECKING:  # to a type checker a name that is not above is an error

    def __getattr__(name: str) -> Any:
        if name in _OPEN:
            return importlib.import_module(f"mixlaw.{name}")
        if name in _HOMES:
            return _verb(name)
        raise AttributeError(f"module 'mixlaw' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)


def citation() -> str:
    """Return BibTeX for the method that mixlaw builds on."""
    return """@inproceedings{li2025datamixing,
  title     = {Data Mixing Optimization for Supervised Fine-Tuning of Large Language Models},
  author    = {Li, Yuan and Liu, Zhengzhong and Xing, Eric},
  booktitle = {International Conference on Machine Learning},
  series    = {PMLR},
  volume    = {267},
  pages     = {35419--35437},
  year      = {2025},
  note      = {arXiv:2508.11953}
}"""
