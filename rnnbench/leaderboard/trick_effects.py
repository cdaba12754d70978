"""Finds which trick helps which cell on a board: a pure function, without torch and plugins.

The bare cell of an architecture is its row with no other tricks than those that every run of the
board has: usually none, or a common one such as clip. Two sorts of comparison are made, each
between two rows of one board that differ in nothing but the tricks named:

- a stack of tricks against the bare cell;
- one trick of a stack against the same stack without it, where the board has that too. So two
  tricks that were run alone and together show whether they add up, and a full stack that was run
  with each trick left out once, what each contributes.

Each row shows the configuration that its leaderboard shows, chosen on validation. The verdict is
the board's on the two rows (`rnnbench.leaderboard.verdicts`), so that this table and the board
never contradict each other: a trick helps where the row with it is better. The difference that is
shown is taken seed by seed over the seeds that both sides finished, and turned so that positive
helps. Its 95% interval, Student's t over these differences (or the board's bootstrap), is of this
difference alone, while a verdict holds for all pairs of the board together. A board by Welch's t
test or by permutations has the same test seed by seed here, Holm-adjusted over this table.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rnnbench.leaderboard.types import Attribution, Board, Comparison, Effect, Row, Stack, Verdict
from rnnbench.leaderboard.verdicts.pairs import Relation
from rnnbench.stats import ALPHA, estimate, holm, paired, sign_flipped

WORDS: Mapping[Relation, Verdict] = {
    "better": "helps", "worse": "hurts", "equal": "equal", "open": "open",
}  # fmt: skip
"""What a board's verdict on a row with a trick says of the trick."""


def attribute(board: Board, refused: Iterable[Mapping[str, Any]] = ()) -> Attribution:
    """Return what each trick of a board does to each architecture.

    Args:
        refused: combinations that were not run, each with task, architecture, tricks (names in
            order, or joined by " + ") and reason; those of architectures that the board has count.
    """
    rows = {(r.parts[0], r.parts[1:]): r for r in board.rows if r.kind != "baseline"}
    refusals = _refusal_reasons(board, rows, refused)
    stacks = sorted({stack for _, stack in (*rows, *refusals)}, key=lambda s: (len(s), s))
    common = set.intersection(*(set(stack) for _, stack in rows)) if rows else set()
    pairs = _list_comparisons(stacks, common)
    architectures = sorted({a for a, stack in (*rows, *refusals) if set(stack) - common})
    names = _name_comparisons(pairs, common)
    sides = _Sides(rows, refusals, board)
    comparisons = [
        Comparison(name, *pair, tuple(sides.effect(a, *pair) for a in architectures))
        for name, pair in zip(names, pairs, strict=True)
    ]
    present = {*rows, *refusals}
    kept = [
        c
        for c in comparisons
        if any(
            (a, c.stack) in refusals or {(a, c.stack), (a, c.without)} <= present
            for a in architectures
        )
    ]
    plain = sorted({a for a, _ in rows} - set(architectures))
    return Attribution(
        task=board.task,
        protocol_id=board.protocol_id,
        protocol=board.protocol,
        headline=board.headline,
        bare=next((_keep(s, common) for s in stacks if common <= set(s)), ()),
        architectures=tuple(architectures),
        comparisons=tuple(kept if sides.at_once else _adjust(kept)),
        notes=tuple(_write_notes(rows, kept, common, plain)),
    )


def _list_comparisons(stacks: Sequence[Stack], common: set[str]) -> list[tuple[Stack, Stack]]:
    """Return the comparisons as (with, without): to the bare cell, then one trick of a stack."""
    to_bare = [(s, _keep(s, common)) for s in stacks if set(s) - common]
    single = []
    for stack, bare in to_bare:
        for place, trick in enumerate(stack):
            without = stack[:place] + stack[place + 1 :]
            if trick not in common and without != bare and without in stacks:
                single.append((stack, without))
    return to_bare + single


def _keep(stack: Stack, kept: set[str]) -> Stack:
    """Return the tricks of a stack that are in `kept`, in its order."""
    return tuple(t for t in stack if t in kept)


def _name_comparisons(pairs: Sequence[tuple[Stack, Stack]], common: set[str]) -> list[str]:
    """Return a name for each comparison: the added tricks, and what they stand beside."""
    names = []
    for stack, without in pairs:
        beside = [t for t in without if t not in common]
        added = " + ".join(t for t in stack if t not in without)
        names.append(f"{added} beside {' + '.join(beside)}" if beside else added)
    return [  # the same tricks in another order are another stack
        f"{name} (in {' + '.join(stack)})" if names.count(name) > 1 else name
        for name, (stack, _) in zip(names, pairs, strict=True)
    ]


def _refusal_reasons(
    board: Board, rows: Iterable[tuple[str, Stack]], refused: Iterable[Mapping[str, Any]]
) -> dict[tuple[str, Stack], str]:
    """Return the reasons of refusals by architecture and stack, as the board calls them.

    A refusal names plugins; where the board tells several settings of one apart, all are refused.
    """
    plugins_by_parts = {
        r.parts: (r.architecture, r.tricks) for r in board.rows if r.kind != "baseline"
    }
    reasons = {}
    for refusal in refused:
        given = refusal["tricks"]
        tricks = tuple(given.split(" + ") if isinstance(given, str) and given else given)
        architectures = {
            p[0] for p, (a, _) in plugins_by_parts.items() if a == refusal["architecture"]
        }
        stacks = {p[1:] for p, (_, names) in plugins_by_parts.items() if names == tricks} or {
            tricks
        }
        for key in ((a, s) for a in architectures for s in stacks):
            if refusal["task"] == board.task and key not in rows:
                reasons[key] = str(refusal["reason"])
    return reasons


@dataclass(frozen=True)
class _Sides:
    """The rows and refusals that can stand on either side of a comparison."""

    rows: Mapping[tuple[str, Stack], Row]
    refusals: Mapping[tuple[str, Stack], str]
    board: Board

    @property
    def at_once(self) -> bool:
        """True where the board's verdicts on its rows are those on its tricks."""
        return self.board.method.test == "moderated"

    def effect(self, architecture: str, stack: Stack, without: Stack) -> Effect:
        """Compare two stacks on an architecture; p of a test by pairs is not adjusted yet."""
        with_side = self._find_side(architecture, stack)
        if isinstance(with_side, tuple):
            return Effect(architecture, *with_side)
        other = self._find_side(architecture, without)
        if isinstance(other, tuple):
            verdict, reason = other
            name = " + ".join((architecture, *without))
            return Effect(architecture, verdict, f"nothing to compare with: {name}: {reason}")
        return self._measure(architecture, with_side, other)

    def _find_side(self, architecture: str, stack: Stack) -> Row | tuple[Verdict, str]:
        """Return the row of one side, or a verdict and a reason where it has no figures."""
        row = self.rows.get((architecture, stack))
        if row is None:
            reason = self.refusals.get((architecture, stack))
            return ("missing", "not run") if reason is None else ("refused", reason)
        if row.kind == "failed":
            reasons = "; ".join(f"{f.count} × {f.status}: {f.reasons[0]}" for f in row.failures)
            every = (
                f"{row.final_runs} seeds on test" if row.failed < row.runs else f"{row.runs} runs"
            )
            return "failed", f"all of {every} failed ({reasons})"
        return row if row.kind == "ranked" else ("missing", "not tested yet")

    def _measure(self, architecture: str, with_row: Row, other: Row) -> Effect:
        ours, theirs = (dict(zip(r.seeds, r.values, strict=True)) for r in (with_row, other))
        seeds = tuple(sorted(ours.keys() & theirs.keys()))
        if not seeds:
            return Effect(architecture, "missing", "the two sides have no seed in common")
        sign = 1.0 if self.board.higher_is_better else -1.0
        gains = [sign * (ours[s] - theirs[s]) for s in seeds]
        difference = estimate(gains, self.board.method.of_samples)
        base = [theirs[s] for s in seeds]
        mean = math.fsum(base) / len(base)
        judged = self.board.verdicts.between(with_row.name, other.name)
        marks = [
            f"{row.final_failed} of {row.final_runs} seeds failed {side}"
            for row, side in ((with_row, "with it"), (other, "without it"))
            if row.final_failed
        ]
        lacking = len(ours.keys() ^ theirs.keys()) - with_row.final_failed - other.final_failed
        if lacking > 0:
            marks.append(f"{lacking} of {len(ours.keys() | theirs.keys())} seeds on one side only")
        return Effect(
            architecture,
            WORDS[judged.relation] if self.at_once else "open",
            difference=difference,
            percent=100 * difference.mean / mean if min(base) > 0 else None,
            with_mean=math.fsum(ours[s] for s in seeds) / len(seeds),
            without_mean=mean,
            p=judged.p if self.at_once else self._p_value([ours[s] for s in seeds], base),
            seeds=seeds,
            marks=tuple(marks),
        )

    def _p_value(self, ours: Sequence[float], theirs: Sequence[float]) -> float | None:
        if len(ours) < 2:
            return None
        method = self.board.method.of_samples
        if method.test == "t":
            return paired(ours, theirs).p
        return sign_flipped(ours, theirs, method).p


def _adjust(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons with p adjusted for their number, and with verdicts."""
    raw = [e.p for c in comparisons for e in c.effects if e.p is not None]
    adjusted = iter(holm(raw))

    def judged(effect: Effect) -> Effect:
        if effect.p is None or effect.difference is None:
            return effect
        p = next(adjusted)
        clear: Verdict = "helps" if effect.difference.mean > 0 else "hurts"
        return dataclasses.replace(effect, p=p, verdict=clear if p < ALPHA else "open")

    return [
        dataclasses.replace(c, effects=tuple(judged(e) for e in c.effects)) for c in comparisons
    ]


def _write_notes(
    rows: Mapping[tuple[str, Stack], Row],
    comparisons: Sequence[Comparison],
    common: set[str],
    plain: Sequence[str],
) -> list[str]:
    notes = []
    shown = {stack for c in comparisons for stack in (c.stack, c.without)}
    alone = sorted(" + ".join((a, *s)) for a, s in rows if set(s) - common and s not in shown)
    if alone:
        bare = f"with {' + '.join(sorted(common))} only" if common else "without tricks"
        notes.append(
            f"Not compared, since there is nothing to compare with: {', '.join(alone)}. Run the "
            f"same architecture {bare} too."
        )
    if plain and comparisons:
        notes.append(f"Run as the bare cell only: {', '.join(plain)}.")
    tried = {
        rows[key].configurations
        for c in comparisons
        for e in c.effects
        if e.difference
        for key in ((e.architecture, c.stack), (e.architecture, c.without))
    }
    if len(tried) > 1:
        notes.append(
            f"The sides were tuned unequally: between {min(tried)} and {max(tried)} configurations "
            "were tried for one."
        )
    return notes
