"""Says what a search of n trials is expected to find, for the rows of a board: a pure function.

"A beats B" is a statement about searches of a certain length. Each row's trials say what the best
of fewer of them is expected to be, on validation; so two rows that were searched differently long
can be compared at every number of trials that both reached.
"""

from __future__ import annotations

from dataclasses import dataclass

from rnnbench.leaderboard.types import Board, Row
from rnnbench.stats import best_of_n

MOST_DUELS = 12  # rows that are set against each other, the best first


@dataclass(frozen=True)
class BestOf:
    """The expected best on validation of n = 1 ... `trials` trials of a row.

    Attributes:
        expected: unbiased: over draws without replacement.
        biased: with replacement, as Dodge et al. (2019) draw the curve.
        low, high: 95% interval of `expected`, by resampling trials.
        failed: trials without a value; each counts as the worst of the others.
    """

    row: str
    trials: int
    expected: tuple[float, ...]
    biased: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    failed: int


@dataclass(frozen=True)
class Duel:
    """Two rows at equal numbers of trials.

    Attributes:
        from_trials: the least number from which on, as far as both were searched, `row`'s expected
            best is better; None: it is not at the end.
        clear_from: from which on the 95% interval of the difference lies beyond 0.
        chance: for n = 1, 2, ...: the probability that the best of n trials of `row` beats that of
            n of `other`.
    """

    row: str
    other: str
    from_trials: int | None
    clear_from: int | None
    chance: tuple[float, ...]


@dataclass(frozen=True)
class Effort:
    """Best-of-n curves of a board.

    Attributes:
        metric: what is measured on validation.
        duels: both ways of each pair of the first dozen rows.
        notes: what limits the comparison.
    """

    metric: str
    higher_is_better: bool
    curves: tuple[BestOf, ...]
    duels: tuple[Duel, ...]
    notes: tuple[str, ...]


def effort(board: Board) -> Effort | None:
    """Return best-of-n curves of all rows that were searched; None where no row has two trials."""
    rows = [row for row in board.rows if _was_searched(row)]
    if not rows or not board.selection:
        return None
    higher = bool(board.selection.get("higher_is_better"))
    first = rows[:MOST_DUELS]
    return Effort(
        metric=str(board.selection.get("metric", "")),
        higher_is_better=higher,
        curves=tuple(_best_of_n_curve(row, higher) for row in rows),
        duels=tuple(duel(a, b, higher) for a in first for b in first if a is not b),
        notes=tuple(_write_notes(rows)),
    )


def duel(row: Row, other: Row, higher_is_better: bool) -> Duel:
    """Compare two searched rows at equal numbers of trials."""
    pair = row.trials, other.trials, higher_is_better
    return Duel(
        row.name,
        other.name,
        best_of_n.better_from(*pair),
        best_of_n.clearly_better_from(*pair),
        tuple(best_of_n.chance(*pair)),
    )


def searched_alike(row: Row, other: Row) -> bool:
    """Tell whether both rows have trials to compare."""
    return _was_searched(row) and _was_searched(other)


def _was_searched(row: Row) -> bool:
    return len(row.trials) > 1 and any(v is not None for v in row.trials)


def _best_of_n_curve(row: Row, higher: bool) -> BestOf:
    low, high = best_of_n.expected_best_interval(row.trials, higher)
    return BestOf(
        row=row.name,
        trials=len(row.trials),
        expected=tuple(best_of_n.expected_best(row.trials, higher)),
        biased=tuple(best_of_n.expected_best(row.trials, higher, unbiased=False)),
        low=tuple(low),
        high=tuple(high),
        failed=sum(v is None for v in row.trials),
    )


def _write_notes(rows: list[Row]) -> list[str]:
    notes = [
        "Trials are taken for independent draws, as of a random search; those of a sampler that "
        "learns (TPE) come the better the later, so fewer of them would have found less than shown."
    ]
    lengths = {len(row.trials) for row in rows}
    if len(lengths) > 1:
        notes.append(
            f"Rows were searched with {min(lengths)} to {max(lengths)} trials: compare them up to "
            "the smaller number."
        )
    if any(row.pruned for row in rows):
        notes.append("Trials that were pruned count with the best that they had reached.")
    failed = [row.name for row in rows if any(v is None for v in row.trials)]
    if failed:
        notes.append(
            f"Trials that failed count as the worst of their row's others: {', '.join(failed)}."
        )
    return notes
