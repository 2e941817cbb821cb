"""`python -m mixlaw`."""

from mixlaw.cli import entry

if __name__ == "__main__":
    entry()
