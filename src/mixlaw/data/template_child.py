"""The process in which `mixlaw.data.template_probe` tries out a chat template. It imports nothing of mixlaw."""

import json
import resource
import sys
from typing import Any, ClassVar

MEMORY, TOO_LONG = 41, 42


def main() -> int:
    """Render the conversation of stdin under its limits; return 0, or what it went beyond."""
    template, turns, seconds, most_bytes, most_characters = json.load(sys.stdin)
    try:
        from jinja2.ext import Extension, loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError:
        return 0

    class Generation(Extension):
        """`{% generation %}`, which transformers adds: what is inside is written."""

        tags: ClassVar = {"generation"}

        def parse(self, parser: Any) -> Any:
            from jinja2 import nodes

            line = next(parser.stream).lineno
            inside = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return nodes.Scope(inside, lineno=line)

    def refuse(text: str) -> None:
        raise ValueError(text)

    used = resource.getrusage(resource.RUSAGE_SELF)
    # The time of the processor, so that a machine that is at work otherwise ends no template.
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds,) * 2)
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, most_bytes))
    try:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
        )
        environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
        environment.globals["raise_exception"] = refuse
        environment.globals["strftime_now"] = lambda form: form
        written = 0
        stream = environment.from_string(template).generate(
            messages=turns, tools=None, documents=None, add_generation_prompt=False, bos_token="", eos_token=""
        )
        for part in stream:
            written += len(part)
            if written > most_characters:
                return TOO_LONG
    except MemoryError:
        return MEMORY
    except Exception:  # whatever its author chose, or what only transformers' environment knows
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
