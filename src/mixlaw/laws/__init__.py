"""Every published law behind one interface (`mixlaw.laws.base`), and the place where others are made known."""

from mixlaw.laws.registry import LawKind, find, names, register

__all__ = ["LawKind", "find", "names", "register"]
