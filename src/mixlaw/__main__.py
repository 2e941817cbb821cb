"""`python -m mixlaw`, and the console script: loads the command line, which may be interrupted already."""

import os
import shlex
import sys


def entry() -> None:
    """Run the command line. Ctrl-C while it is still being loaded ends it like any other, without a traceback."""
    try:
        from mixlaw.cli import entry as run
    except KeyboardInterrupt:
        again = f"Run the command again to go on where it stopped: {shlex.join(['mixlaw', *sys.argv[1:]])}"
        sys.stderr.write(f"error Interrupted. {again}\n")
        sys.stderr.flush()
        os._exit(
            130
        )  # Python itself would end by the signal where it met it in code that it was making, and not by 130
    run()


if __name__ == "__main__":
    entry()
