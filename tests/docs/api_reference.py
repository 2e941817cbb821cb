"""The text of docs/api.md, from signatures and docstrings: `make docs` writes it."""

import inspect
import re
import sys
from pathlib import Path
from typing import Any

import mixlaw
from mixlaw.api.files import Check
from mixlaw.api.mixture import MixtureFiles
from mixlaw.api.push import Push
from mixlaw.api.sweep import Plan, RunResult
from mixlaw.api.verify import Retrained, Verified
from mixlaw.api.verify_files import Checked, Problem
from mixlaw.fit.choosing.table import LawRow, LawTable
from mixlaw.fit.prediction import Prediction
from mixlaw.solve.solution import Certificate
from mixlaw.study.status import RunEvent, RunStatus

VERBS = (
    *("init", "check", "plan", "train", "status", "cancel", "verify", "adopt", "run", "demo"),
    *("load_runs", "fit", "load_fit", "laws", "solve", "predict", "mix", "export", "compare", "final"),
    *("report", "push", "citation"),
    *("plot_weights", "plot_changes", "plot_curves", "plot_measured", "plot_budgets", "plot_marginal"),
)
VALUES = (
    *(mixlaw.RunTable, mixlaw.Fit, Prediction, mixlaw.Solution, Certificate, LawTable, LawRow),
    *(Plan, RunStatus, RunEvent, RunResult, Check, MixtureFiles, Verified, Retrained, Checked, Problem, Push),
)
SECTIONS = ("Args", "Returns", "Raises", "Attributes")

INTRODUCTION = """\
# Python

One function for each command of the command line. A notebook shows what they return as tables with small figures,
`print` shows the same as text. `import mixlaw` takes milliseconds and loads neither SciPy nor
torch; the package is typed (`py.typed`). Errors are [exceptions with a code](errors.md).

```python
import mixlaw

runs = mixlaw.load_runs("runs.csv")  # a CSV, Parquet, a study folder or a DataFrame
fit = mixlaw.fit(runs)
best = mixlaw.solve(fit, budget="20M", max={"code": 0.5})
print(best)
```
"""


def documented(thing: Any) -> str:
    """Return a docstring as Markdown: its sections as lists."""
    lines, out = (inspect.getdoc(thing) or "").splitlines(), []
    in_section, title = False, ""
    for line in lines:
        if line.endswith(":") and line.rstrip(":") in SECTIONS:
            title = line.rstrip(":")
            out += ["", f"*{title}*", ""]
            in_section = True
        elif in_section and title == "Returns":  # a sentence, not a list of names
            out.append(line.strip())
            in_section = bool(line.strip())
        elif in_section and re.match(r" {4}\S", line):
            name, _, text = line.strip().partition(": ")
            out.append(f"- `{name}`: {text}" if text else f"- {line.strip()}")
        elif in_section and line.strip():
            out.append(f"  {line.strip()}")
        else:
            in_section = in_section and not line.strip()
            out.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip()


def signature(name: str, function: Any) -> str:
    """Return a call with its annotations, one argument a line."""
    found = inspect.signature(function)
    result = "" if found.return_annotation is inspect.Signature.empty else f" -> {found.return_annotation}"
    arguments, starred = [], False
    for parameter in found.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            arguments, starred = [*arguments, "*"], True
        arguments.append(_argument(parameter))
    inside = "".join(f"    {argument},\n" for argument in arguments)
    return f"mixlaw.{name}(\n{inside}){result}" if inside else f"mixlaw.{name}(){result}"


def _argument(parameter: inspect.Parameter) -> str:
    """Return an argument as its source has it: `str` would put the annotation, which is text here, into quotes."""
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = f"{stars}{parameter.name}"
    if (annotation := parameter.annotation) is not parameter.empty:
        shown = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
        text += f": {shown.strip(chr(39))}"
    return text if parameter.default is parameter.empty else f"{text} = {parameter.default!r}"


def methods(kind: type) -> list[str]:
    """Return a value's own public methods and properties, with the first sentence of each."""
    found = []
    for name, member in vars(kind).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        call = name if isinstance(member, property) else f"{name}()"
        first = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")
        found.append(f"- `.{call}`: {first}")
    return found


def reference() -> str:
    """Return docs/api.md."""
    parts = [INTRODUCTION, "## Functions\n"]
    for name in VERBS:
        function = mixlaw._verb(name) if name in mixlaw._HOMES else getattr(mixlaw, name)
        parts.append(f"### {name}\n\n```python\n{signature(name, function)}\n```\n\n{documented(function)}\n")
    parts.append("## Values\n")
    for kind in VALUES:
        members = methods(kind)
        listed = "\n\n" + "\n".join(members) if members else ""
        parts.append(f"### {kind.__name__}\n\n{documented(kind)}{listed}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
