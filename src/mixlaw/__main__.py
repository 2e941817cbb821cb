"""`python -m mixlaw`, and the console script: loads the command line, which may be interrupted already."""

import sys


def entry() -> None:
    """Run the command line. Ctrl-C while it is still being loaded ends it like any other, without a traceback."""
    try:
        from mixlaw.cli import entry as run
    except KeyboardInterrupt:
        sys.stderr.write("error Interrupted.\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    entry()
