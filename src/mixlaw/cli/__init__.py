"""The command line: each verb of the API, printed for people or as JSON."""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import logging
import os
import shlex
import signal
import sys
import threading
import traceback
from typing import Annotated, Any

import typer

from mixlaw.cli import export, files, numbers, push, results, sweep, verify
from mixlaw.cli.ending import end_in_time, give_up_waiting
from mixlaw.cli.help import described
from mixlaw.cli.output import note, print_error
from mixlaw.core.errors import MixlawError, RunsFailed, file_error

_OK, _ERROR, _USAGE, _SOME_FAILED, _INTERRUPTED, _TERMINATED = 0, 1, 2, 3, 130, 143
_OLD_NAMES = {"--fit": "--procedure"}
"""Old name of an option -> its name."""

_signals: list[int] = []
"""Those that have asked this process to end."""

app = typer.Typer(
    name="mixlaw",
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]},
    help="Decides how much of each dataset goes into a fine-tuning run.",
    epilog="[bold]Start[/bold]\n"
    "[dim]$[/dim] mixlaw demo                 the whole job on bundled data: minutes\n"
    "[dim]$[/dim] mixlaw init data/*.jsonl    your own data\n"
    "[dim]$[/dim] mixlaw run mix.yaml",
)
_NAMES = {"evaluate": "eval"}
for _verb in (
    files.init,
    files.check,
    sweep.run,
    sweep.plan,
    sweep.train,
    sweep.status,
    verify.verify,
    sweep.cancel,
    sweep.adopt,
    numbers.fit,
    numbers.laws,
    numbers.solve,
    numbers.predict,
    files.mix,
    export.export,
    results.compare,
    results.final,
    results.evaluate,
    files.report,
    push.push,
    sweep.demo,
):
    app.command(_NAMES.get(_verb.__name__, _verb.__name__), **described(_verb))(_verb)


def _version(wanted: bool) -> None:
    if wanted:
        from mixlaw import __version__

        typer.echo(f"mixlaw {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, format="%(message)s", stream=sys.stderr)
    for noisy in ("httpx", "urllib3", "filelock", "fsspec", "datasets", "huggingface_hub"):
        logging.getLogger(noisy).setLevel(logging.DEBUG if debug else logging.ERROR)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 done, 1 error, 2 usage, 3 some runs failed, 130 or 143
    interrupted by Ctrl-C or SIGTERM."""
    arguments = sys.argv[1:] if arguments is None else arguments
    arguments = arguments or ["--help"]
    debug, as_json = "--debug" in arguments, "--json" in arguments
    # --debug belongs to no verb: it is taken wherever it stands.
    arguments = (["--debug"] if debug else []) + [argument for argument in arguments if argument != "--debug"]
    arguments = _with_new_names(arguments, as_json)
    try:
        code = _command().main(args=arguments, prog_name="mixlaw", standalone_mode=False)
        sys.stdout.flush()
        if code == _INTERRUPTED:  # how Typer returns Ctrl-C
            return _interrupted(arguments, as_json)
        return code if isinstance(code, int) else _OK
    except KeyboardInterrupt:
        return _interrupted(arguments, as_json)
    except (BrokenPipeError, SystemExit) as error:
        # The reader went away (`| head`): nothing more to say, and nothing to say it to. Typer makes that exit code 1.
        if isinstance(error, SystemExit) and error.code != 1:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _OK
    except MixlawError as error:
        _traceback(debug)
        print_error(error, as_json)
        return _SOME_FAILED if isinstance(error, RunsFailed) else _ERROR
    except OSError as error:
        # A path that cannot be read or written, a full disk: facts about the machine, whichever step met them.
        _traceback(debug)
        print_error(file_error(error), as_json)
        return _ERROR
    except Exception as error:
        # Typer's own exceptions carry their exit code; which module defines them differs between its versions.
        if type(error).__name__ == "Abort":
            return _interrupted(arguments, as_json)
        return _unexpected(error, debug, as_json)


@functools.cache
def _command() -> Any:
    """Return the verbs with their options, made from their signatures once in a process."""
    return typer.main.get_command(app)


def _with_new_names(arguments: list[str], as_json: bool) -> list[str]:
    """Return the arguments with the names that options have now, and say so where one has an old name."""
    found = []
    for argument in arguments:
        name, sign, value = argument.partition("=")
        if (now := _OLD_NAMES.get(name)) and not as_json:
            note(f"Use {now} instead of {name}.")
        found.append(f"{now}{sign}{value}" if now else argument)
    return found


def _interrupted(arguments: list[str], as_json: bool) -> int:
    """Say how to go on, and return the exit code. It stands in for the one that waits to say so."""
    give_up_waiting()
    _say(arguments, as_json)
    return _TERMINATED if _signals else _INTERRUPTED


def _say_interrupted() -> None:
    _say(sys.argv[1:], "--json" in sys.argv)


def _say(arguments: list[str], as_json: bool) -> None:
    again = f"Run the command again to go on where it stopped: mixlaw {shlex.join(arguments)}"
    print_error(_Interrupted("Interrupted.", again), as_json)


def _terminate(number: int, _: object) -> None:
    _signals.append(number)
    raise KeyboardInterrupt  # a SIGTERM ends as Ctrl-C does: workers are ended and leases released


def _unexpected(error: Exception, debug: bool, as_json: bool) -> int:
    if hasattr(error, "format_message"):
        message = error.format_message().strip()  # type: ignore[attr-defined]
        print_error(_Usage(message.rstrip(".") + ".", "See `mixlaw --help` or `mixlaw COMMAND --help`."), as_json)
        return _USAGE
    if hasattr(error, "exit_code"):
        return int(error.exit_code)  # type: ignore[attr-defined]
    _traceback(debug)
    print_error(
        _Internal(f"Internal error, {type(error).__name__}: {error}.", "Please report it with the output of --debug."),
        as_json,
    )
    return _ERROR


def _traceback(debug: bool) -> None:
    if debug:
        traceback.print_exc(file=sys.stderr)


class _Interrupted(MixlawError):
    code = "interrupted"


class _Usage(MixlawError):
    code = "usage"


class _Internal(MixlawError):
    code = "internal"


def entry() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an ASCII terminal must not end a run
    signal.signal(signal.SIGTERM, _terminate)
    end_in_time({signal.SIGINT: _INTERRUPTED, signal.SIGTERM: _TERMINATED}, _say_interrupted)
    _end(main())


def _end(code: int) -> None:
    """End the process with an exit code as soon as all is written: what libraries registered for the end is done, but
    to take down torch, SciPy and the others object by object would cost seconds more."""
    others = [t for t in threading.enumerate() if t is not threading.main_thread() and not t.daemon]
    if (others and code not in (_INTERRUPTED, _TERMINATED)) or sys.gettrace() or sys.getprofile():
        sys.exit(code)  # somebody's thread is at work, or a debugger or profiler has something to write
    if code not in (_INTERRUPTED, _TERMINATED):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
