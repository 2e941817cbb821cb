"""Checks of the data: rows dropped, cut, repeated and shared, and whether the validation sets are large enough.

Each check is PASS, WARN or FAIL, as in `mixlaw.report.health`. The thresholds are conventions; each check's text gives
the values it judged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mixlaw.core.plurals import plural
from mixlaw.core.tokens import format_tokens
from mixlaw.report.numbers import significant
from mixlaw.report.verdicts import FAIL, PASS, WARN, Check, some

ROW_SPREAD_NATS = 0.15
"""Standard deviation over conversations of the difference between two models' losses on one, each weighted by its
tokens, where the models differ in their mixtures. Measured on the demo's domains, 0.09 to 0.22 (docs/lab.md)."""

_TELLS_NATS, _TELLS_NOTHING_NATS = 0.03, 0.1
_SAME, _LARGE = 0.95, 0.5
_AT_LONGEST = " (train.max_length is the most that the model takes.)"


@dataclass(frozen=True)
class Overlap:
    """Conversations that domains have in common, white space, case and system prompt aside.

    Attributes:
        distinct: domain -> different conversations, held-out ones too.
        shared: (domain, domain) -> how many they have in common, where there are any; the names are sorted.
    """

    distinct: Mapping[str, int]
    shared: Mapping[tuple[str, str], int]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        pairs = [{"domains": list(pair), "conversations": count} for pair, count in self.shared.items()]
        return {"distinct": dict(self.distinct), "shared": pairs}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Overlap:
        """Return the value of a JSON form."""
        pairs = {(pair["domains"][0], pair["domains"][1]): pair["conversations"] for pair in value["shared"]}
        return Overlap(value["distinct"], pairs)

    def matrix(self, most: int = 12) -> tuple[list[str], list[list[str]]]:
        """Return columns and rows of a table: what share of a row's conversations is in the column's domain, %.

        Args:
            most: domains shown, those that share most; twelve fit into 80 columns.
        """
        weight = {name: 0 for pair in sorted(self.shared) for name in pair}
        for pair, count in self.shared.items():
            for name in pair:
                weight[name] = max(weight[name], count)
        names = sorted(sorted(weight), key=lambda name: -weight[name])[:most]
        names = [name for name in self.distinct if name in names]
        rows = []
        for i, a in enumerate(names, 1):
            cells = ["" if a == b else self._percent(a, b) for b in names]
            rows.append([f"{i} {a if len(a) <= 18 else a[:17] + '…'}", *cells])
        return ["% in", *map(str, range(1, len(names) + 1))], rows

    def _percent(self, a: str, b: str) -> str:
        percent = 100 * self.shared.get((min(a, b), max(a, b)), 0) / max(1, self.distinct[a])
        return "-" if percent == 0 else "<1" if percent < 1 else f"{percent:.0f}"


def data_checks(
    domains: Mapping[str, Mapping[str, Any]],
    overlap: Overlap | None = None,
    likeness: Mapping[str, Mapping[str, int]] | None = None,
    limits: Mapping[str, Any] | None = None,
) -> list[Check]:
    """Return the checks of a study's data, the failed ones first.

    Args:
        domains: name -> counts, as in domains.json.
        overlap: what domains have in common; None where it is not known.
        likeness: name -> counts of `mixlaw.data.near_copies.Likeness`; None where they were not counted.
        limits: `held_out`: rows of each domain that were to be held out, and `evaluated`: the most that each evaluation
            reads of them, None for all; `at_longest`: whether max_length is the model's most. None: not known.
    """
    if not domains or any("read" not in counts for counts in domains.values()):
        return []  # counted by an earlier version
    limits = limits or {}
    longest = limits.get("at_longest", False)
    checks = [_dropped(domains, longest), _cut(domains, longest), _copies(domains), _elsewhere(domains)]
    checks.append(_validation(domains, limits.get("held_out"), limits.get("evaluated")))
    if overlap is not None and len(domains) > 1:
        checks.append(_shared(overlap))
    if likeness is not None:
        checks += [_near(domains, likeness), _phrases(domains, likeness)]
    return sorted(checks, key=lambda check: (FAIL, WARN, PASS).index(check.status))


ROWS_LEGEND = (
    "dropped: no answer to learn within max_length; cut: tokens beyond max_length; copies: of another row of the "
    "domain; alike: same as a held-out row; elsewhere: held out in another domain; near: near copies, which are kept"
)


def rows_table(
    domains: Mapping[str, Mapping[str, Any]], likeness: Mapping[str, Mapping[str, int]] | None = None
) -> tuple[list[str], list[list[Any]]]:
    """Return columns and rows of a table of what became of the rows that were read."""
    rows = []
    for name, c in domains.items():
        row = [name, c["read"], c["dropped"], f"{100 * _share_cut(c):.1f} %", c["copies"], c["duplicates"]]
        near = [likeness[name]["near_copies"]] if likeness else []
        rows.append([*row, sum(c["held_out_elsewhere"].values()), *near])
    columns = ["domain", "read", "dropped", "cut", "copies", "alike", "elsewhere", *(["near"] if likeness else [])]
    return columns, rows


def _dropped(domains: Mapping[str, Mapping[str, Any]], at_longest: bool) -> Check:
    name, shares = "Rows without an answer", {n: c["dropped"] / max(1, c["read"]) for n, c in domains.items()}
    worst = max(shares, key=lambda n: shares[n])
    total, read = (sum(c[key] for c in domains.values()) for key in ("dropped", "read"))
    if not total:
        return Check(PASS, name, f"None of {read:,} rows was dropped.")
    text = (
        f"{total:,} of {read:,} rows were dropped: they have no answer to learn within max_length. Most in {worst}: "
        f"{100 * shares[worst]:.1f} %."
    )
    status = PASS if shares[worst] <= 0.01 else WARN if shares[worst] <= 0.2 else FAIL
    step = "Shorten the prompts, or check the weights of turns." + _AT_LONGEST
    if not at_longest:
        step = "Raise train.max_length, shorten the prompts, or check the weights of turns."
    return Check(status, name, text, "" if status == PASS else step)


def _share_cut(counts: Mapping[str, Any]) -> float:
    kept = counts["train"]["tokens"] + counts["validation"]["tokens"]
    return counts["lost_tokens"] / max(1, kept + counts["lost_tokens"])


def _cut(domains: Mapping[str, Mapping[str, Any]], at_longest: bool) -> Check:
    shares = {name: _share_cut(counts) for name, counts in domains.items()}
    worst = max(shares, key=lambda n: shares[n])
    counts = domains[worst]
    if not counts["truncated"]:
        return Check(PASS, "Rows cut", "No row is longer than max_length.")
    text = (
        f"Most in {worst}: {counts['truncated']:,} of {counts['read']:,} rows are longer than max_length, and "
        f"{format_tokens(counts['lost_tokens'])} tokens ({100 * shares[worst]:.1f} %) were cut off."
    )
    status = PASS if shares[worst] <= 0.02 else WARN if shares[worst] <= 0.5 else FAIL
    step = "Split long conversations: the ends of answers are not learnt." + _AT_LONGEST
    if not at_longest:
        step = "Raise train.max_length, or split long conversations: the ends of answers are not learnt."
    return Check(status, "Rows cut", text, "" if status == PASS else step)


def _copies(domains: Mapping[str, Mapping[str, Any]]) -> Check:
    shares = {name: counts["copies"] / max(1, counts["read"]) for name, counts in domains.items()}
    worst, total = max(shares, key=lambda n: shares[n]), sum(counts["copies"] for counts in domains.values())
    if not total:
        return Check(PASS, "Exact copies", "No training row is a copy of another of its domain.")
    text = (
        f"{total:,} rows are copies of others of their domain, most in {worst} ({100 * shares[worst]:.1f} %). Each "
        "conversation counts once: in available tokens, epochs and samples."
    )
    if shares[worst] <= 0.05:
        return Check(PASS, "Exact copies", text)
    step = "If they were repeated on purpose, make them a domain of their own and give it a weight (solve.min)."
    return Check(WARN, "Exact copies", text, step)


def _elsewhere(domains: Mapping[str, Mapping[str, Any]]) -> Check:
    name, parts = "Held out elsewhere", []
    for domain, counts in domains.items():
        parts += [f"{n:,} of {domain} ({other})" for other, n in counts["held_out_elsewhere"].items()]
    if not parts:
        return Check(PASS, name, "No training row is held out in another domain.")
    text = f"Rows not trained on because another domain holds them out: {some(parts)}."
    return Check(
        WARN, name, text, "Nothing leaks. To train on these rows, keep the shared conversations in only one domain."
    )


def _shared(overlap: Overlap) -> Check:
    name = "Domains share conversations"
    if not overlap.shared:
        return Check(PASS, name, "No two domains have a conversation in common.")
    of_smaller, same = {}, []
    for (a, b), count in overlap.shared.items():
        of_smaller[a, b] = count / min(overlap.distinct[a], overlap.distinct[b])
        if count >= _SAME * (overlap.distinct[a] + overlap.distinct[b] - count):
            same.append(f"{a} and {b}")
    if same:
        text = f"The same conversations under two names: {some(same)}. The runs cannot tell their weights apart."
        return Check(FAIL, name, text, "Remove one of them.")
    ranked = sorted(of_smaller, key=lambda pair: (-of_smaller[pair], pair))
    parts = [f"{a} and {b} {overlap.shared[a, b]:,} ({100 * of_smaller[a, b]:.0f} % of the smaller)" for a, b in ranked]
    text = f"Shared conversations, most first: {some(parts)}."
    if of_smaller[ranked[0]] < 0.01:
        return Check(PASS, name, text)
    step = "Weights of such domains depend on each other. Keep the shared conversations in only one."
    if of_smaller[ranked[0]] >= _LARGE:
        step = "The smaller one is mostly contained in the larger one. Remove it there, or drop the smaller one."
    return Check(WARN, name, text, step)


def rows_needed(nats: float, spread: float = ROW_SPREAD_NATS) -> int:
    """Return how many validation rows tell a difference between mixtures: two standard errors, 4 (spread / nats)^2."""
    return math.ceil(round(4 * (spread / nats) ** 2, 9))


def told_nats(rows: int, spread: float = ROW_SPREAD_NATS) -> float:
    """Return which difference so many validation rows tell, nats: two standard errors, 2 spread / sqrt(rows)."""
    return 2 * spread / math.sqrt(max(1, rows))


def _validation(
    domains: Mapping[str, Mapping[str, Any]], held_out: int | None = None, evaluated: int | None = None
) -> Check:
    held = {name: counts["validation"]["rows"] for name, counts in domains.items()}
    worst = min(held, key=lambda name: held[name])
    rows = held[worst] if evaluated is None else min(held[worst], evaluated)
    nats = told_nats(rows)
    read = f" ({held[worst]:,} are held out, train.eval_rows is {evaluated:,})" if rows < held[worst] else ""
    text = (
        f"Smallest: {plural(rows, 'row')} of {worst}{read}, enough to tell apart mixtures that differ by "
        f"{significant(nats, 2)} nats or more (if conversations differ by {ROW_SPREAD_NATS} nats, standard deviation)."
    )
    if nats <= _TELLS_NATS * (1 + 1e-9):
        return Check(PASS, "Validation rows", text)
    needed = [f"{rows_needed(effect):,} for {effect} nats" for effect in (_TELLS_NATS, 0.01)]
    step = f"{_more_rows(held[worst], held_out, evaluated)} Needed: {', '.join(needed)}."
    return Check(WARN if nats <= _TELLS_NOTHING_NATS else FAIL, "Validation rows", text, step)


def _more_rows(held: int, held_out: int | None, evaluated: int | None) -> str:
    """Return how a domain of which so many rows are held out gets more evaluated ones."""
    if held_out is None:
        return "Hold out more rows (validation: {rows: ...}) or add some."
    steps = ["raise train.eval_rows"] if evaluated is not None and evaluated <= held else []
    if held < rows_needed(_TELLS_NATS) and held < held_out:
        steps.append("add data: a fifth of the domain is held out, which is the most")
    elif held < rows_needed(_TELLS_NATS):
        steps.append("hold out more rows (validation: {rows: ...}, at most a fifth of a domain)")
    text = " and ".join(steps)
    return f"{text[0].upper()}{text[1:]}."


def _near(domains: Mapping[str, Mapping[str, Any]], likeness: Mapping[str, Mapping[str, int]]) -> Check:
    own, held = (sum(counts[key] for counts in likeness.values()) for key in ("near_copies", "near_validation"))
    rows = sum(counts["train"]["rows"] for counts in domains.values())
    text = (
        f"{own:,} of {rows:,} training rows are near copies of another row of their domain, and {held:,} of a "
        "validation row of any domain. They are kept."
    )
    if held <= 0.001 * rows and own <= 0.1 * rows:
        return Check(PASS, "Near copies", text)
    step = "Remove near copies from the sources; those of validation rows make losses look too low."
    return Check(WARN, "Near copies", text, step)


def _phrases(domains: Mapping[str, Mapping[str, Any]], likeness: Mapping[str, Mapping[str, int]]) -> Check:
    name = "Phrases known from training"
    rows = sum(counts["validation"]["rows"] for counts in domains.values())
    shares = {n: likeness[n]["mostly_known"] / max(1, c["validation"]["rows"]) for n, c in domains.items()}
    worst = max(shares, key=lambda n: shares[n])
    any_, mostly = (sum(counts[key] for counts in likeness.values()) for key in ("phrases", "mostly_known"))
    text = (
        f"{any_:,} of {rows:,} validation rows share a run of 13 words with a training row; in {mostly:,} most of "
        f"these runs occur in training (most in {worst}: {100 * shares[worst]:.1f} %)."
    )
    if shares[worst] <= 0.05:
        return Check(PASS, name, text)
    return Check(WARN, name, text, "Look for templates and near copies: there, losses also measure memorisation.")


def failing(checks: Sequence[Check]) -> list[Check]:
    """Return the checks that are no PASS."""
    return [check for check in checks if check.status != PASS]
