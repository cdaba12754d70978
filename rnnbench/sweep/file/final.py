"""The key `final` of a sweep file: on which fresh seeds the best configurations are reported.

    final: {seeds: [1, 2, 3]}                  # these seeds, of every row
    final: {seeds: [1, 2, 3], front: 3}        # of so many compromises between objectives
    final: {seeds: auto, at_least: 3, at_most: 12, until: best}

With `seeds: auto` each row gets `at_least` seeds; then, after each round, those rows get more whose
comparisons are open and matter, until what `until` asks is shown, at most `at_most` of a row. See
`rnnbench.stats.adaptive_seeds`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields
from typing import Any

from rnnbench.registry.registry import did_you_mean
from rnnbench.stats.adaptive_seeds import UNTIL, SeedPlan
from rnnbench.sweep.file.reader import Reader
from rnnbench.sweep.file.search_options import Search

AUTO = "auto"
PLACE = ("final",)
OF_A_PLAN = tuple(f.name for f in fields(SeedPlan))


@dataclass(frozen=True)
class FinalRuns:
    """The final runs that a sweep file asks for.

    Attributes:
        seeds: of every row; of adaptive ones those of the first round.
        front: number of compromises that get final runs, where there are several objectives.
        plan: of adaptive seeds; None where the file lists the seeds.
    """

    seeds: tuple[int, ...] = ()
    front: int = 3
    plan: SeedPlan | None = None


def read_final(reader: Reader, value: Any, search: Search) -> FinalRuns:
    """Read the key `final` of a sweep file.

    Raises:
        SweepError: it cannot be as it is; the message names file and line.
    """
    final = reader.mapping(PLACE, value, ["seeds", "front", *OF_A_PLAN], ["seeds"])
    if "front" in final and len(search.objectives) == 1:
        raise reader.error(
            (*PLACE, "front"), "front is for several objectives: one objective has one best"
        )
    front = reader.integer((*PLACE, "front"), final.get("front", 3), low=1)
    if final["seeds"] != AUTO:
        for name in OF_A_PLAN:
            if name in final:
                raise reader.error(
                    (*PLACE, name), f"{name} is for seeds by results; write: seeds: {AUTO}"
                )
        if isinstance(final["seeds"], str):
            raise reader.error(
                (*PLACE, "seeds"),
                f"seeds are a list, such as [1, 2, 3], or the word {AUTO}; got {final['seeds']!r}",
            )
        return FinalRuns(reader.final_seeds((*PLACE, "seeds"), final["seeds"], search), front)
    if len(search.objectives) > 1:
        raise reader.error(
            (*PLACE, "seeds"),
            f"seeds: {AUTO} looks for the one best row, and of several objectives there is none; "
            "write a list, such as seeds: [1, 2, 3], or search for one objective alone",
        )
    plan = _read_plan(reader, final)
    return FinalRuns(seeds_of(search, plan.at_least), front, plan)


def seeds_of(search: Search, count: int) -> tuple[int, ...]:
    """Return the first seeds of adaptive ones: 1, 2, 3 and so on, but none of the search."""
    taken = set(search.seeds or (search.seed,)) if search.trials != 0 else set()
    free = (seed for seed in itertools.count(1) if seed not in taken)
    return tuple(itertools.islice(free, count))


def _read_plan(reader: Reader, final: dict[str, Any]) -> SeedPlan:
    default = SeedPlan()
    at_least = reader.integer((*PLACE, "at_least"), final.get("at_least", default.at_least), low=2)
    most = max(at_least, default.at_most)
    at_most = reader.integer((*PLACE, "at_most"), final.get("at_most", most), low=at_least)
    until = final.get("until", default.until)
    if until not in UNTIL:
        known = "\n".join(f"  {name}: {what}" for name, what in UNTIL.items())
        guess = did_you_mean(until, UNTIL) if isinstance(until, str) else ""
        message = f"until is one of these, got {until!r}{guess}\n{known}"
        raise reader.error((*PLACE, "until"), message)
    return SeedPlan(at_least, at_most, until)
