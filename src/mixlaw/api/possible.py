"""What can be known to be wrong with a configuration and its data before any domain is tokenised or written."""

from __future__ import annotations

from mixlaw.config import Config
from mixlaw.core.errors import DataError
from mixlaw.core.plurals import plural
from mixlaw.data.prepare import conversations
from mixlaw.data.reading import LARGE_BYTES, Source
from mixlaw.solve import Constraints
from mixlaw.train.positions import check_positions, positions_of


def require_possible(config: Config) -> None:
    """Raise for what cannot work.

    Every local row of small sources is read once, so that a malformed one surfaces here, and the bounds are held
    against each other. Large sources are read by several processes, which write nothing but a cache.

    Raises:
        Infeasible: no mixture meets the bounds.
        DataError: a row is malformed, or a domain has no two different conversations.
    """
    wishes = config.solve
    Constraints(wishes.min, wishes.max, groups=wishes.groups).polytope(tuple(config.domains), config.budget_tokens)
    for domain in config.domain_values().values():
        source = Source(domain)
        if (files := source.files) is None or domain.split_by is not None or source.bytes > LARGE_BYTES:
            continue
        first, rows, differ = None, 0, False
        for _, conversation, _ in conversations(domain, files):
            first, rows = first or conversation, rows + 1
            differ = differ or conversation != first
        if rows == 0:
            raise DataError(
                f"Domain '{domain.name}' is empty: {domain.path} has no rows.", "Add rows, or remove the domain."
            )
        if not differ:
            raise DataError(
                f"Domain '{domain.name}' has {plural(rows, 'row')} and only one conversation: {domain.path}. Some "
                "must be held out for validation and others left to train on.",
                "Add different rows, or remove the domain.",
            )


def require_rows_that_fit(config: Config) -> None:
    """Raise ConfigError where the trainer would refuse rows of `train.max_length` by the model's configuration."""
    if not config.train.trainer_class.limits_rows:
        return
    model = config.model
    longest = positions_of(model.name_or_path, model.revision)
    check_positions(longest, config.train.settings.max_length, model.name_or_path)
