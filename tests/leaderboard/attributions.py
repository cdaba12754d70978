"""Records of runs that differ in tricks, and what an attribution says of them."""

import dataclasses

from support.fake_records import make_record, make_spec

from rnnbench.leaderboard.boards import build
from rnnbench.leaderboard.trick_effects import attribute
from rnnbench.results.record import Status

REFUSAL = {
    "task": "char-lm",
    "architecture": "elman",
    "tricks": ["chrono-init"],
    "reason": "it has no forget gate",
}


def runs(architecture, tricks, values, **spec):
    """A record for each value: a figure, or a status of failure."""
    return [
        make_record(make_spec("char-lm", architecture, tricks, seed=k, **spec), **_end(value))
        for k, value in enumerate(values)
    ]


def _end(value):
    return {"status": value} if isinstance(value, Status) else {"value": value}


def attributed(*groups, refused=(), **options):
    (board,) = build([record for group in groups for record in group], **options)
    return attribute(board, refused)


def effect(attribution, name, architecture="lstm"):
    (comparison,) = [c for c in attribution.comparisons if c.name == name]
    return comparison.effects[attribution.architectures.index(architecture)]


def of_study(study, tricks, values, *, lr=1e-3, architecture="lstm", hidden=128, **settings):
    """Final runs of a cell of a sweep, its one trick with these settings."""
    records = []
    for seed, value in enumerate(values, 1):
        spec = make_spec("char-lm", architecture, tricks, seed=seed, lr=lr, hidden=hidden)
        tricks_set = [dataclasses.replace(t, settings=tuple(settings.items())) for t in spec.tricks]
        spec = dataclasses.replace(spec, tricks=tuple(tricks_set))
        records.append(make_record(spec, value, study=study))
    return records
