"""Says what a sampler or a pruner cannot do, before anything is run."""

from __future__ import annotations

from collections.abc import Sequence

from rnnbench.sweep.file.search_options import Search
from rnnbench.sweep.search.dimensions import Dimension, SpaceError, grid_size

GENETIC = ("nsga2", "nsga3")
LEARN_FROM_HISTORY = ("tpe", "gp")


def unsuitable(search: Search) -> tuple[str, str] | None:
    """Return what in a search cannot go together, or None.

    Returns:
        The key of the file to blame, and a message that says why and what to do.
    """
    sampler, pruner, several = search.sampler.name, search.pruner.name, len(search.objectives) > 1
    if several and pruner != "none":
        return "pruner", (
            f"{pruner} compares trials by one value, and this search has {len(search.objectives)} "
            "objectives: remove the pruner, or keep one objective and make the others constraints"
        )
    if several and sampler == "cmaes":
        return "sampler", "cmaes seeks one objective: use nsga2, nsga3, tpe or gp for several"
    if sampler in GENETIC and not several:
        return "sampler", (
            f"{sampler} seeks compromises between objectives, and this search has one: use tpe, "
            "gp or cmaes, or add `objectives: [validation, parameters]`"
        )
    if several and search.stop.name != "none":
        return "stop", "a gain is defined for one objective: remove `stop`"
    if sampler == "cmaes" and search.constraints:
        return "sampler", "cmaes does not learn from constraints: use tpe or gp"
    if search.history is not None and sampler not in LEARN_FROM_HISTORY:
        return "start", f"{sampler} does not learn from the trials of another sweep: use tpe or gp"
    if sampler == "grid" and (search.start or search.history):
        return "start", "a grid runs every point in any case: remove `start`"
    if pruner == "wilcoxon" and len(search.seeds) < 3:
        return "pruner", (
            "wilcoxon compares configurations seed by seed: give three seeds or more, such as "
            "`seeds: [0, 1, 2, 3]`"
        )
    if len(search.seeds) > 1 and pruner not in ("none", "wilcoxon"):
        return "pruner", (
            f"{pruner} compares trials at the same optimiser step, and a trial on several seeds "
            "has as many curves: use wilcoxon, or one seed"
        )
    if len(search.seeds) > 1 and several:
        return "seeds", "a mean over seeds is taken of one objective: remove `seeds`"
    return None


def unsuitable_space(search: Search, space: Sequence[Dimension]) -> str | None:
    """Say why the sampler cannot search this space; None: it can."""
    sampler = search.sampler.name
    conditional = [d.name for d in space if d.when]
    if conditional and sampler in ("gp", "cmaes", *GENETIC):
        return (
            f"{sampler} would draw {', '.join(conditional)} at random, since they are searched "
            "under conditions only: use tpe, random, grid or qmc"
        )
    if sampler == "cmaes":
        choices = [d.name for d in space if d.kind == "choice"]
        if choices:
            return (
                f"cmaes searches numbers, and {', '.join(choices)} is a choice: use tpe or gp, or "
                "fix it"
            )
        if len(space) == 1:
            return "cmaes needs two numbers or more to search: use tpe or gp"
    if sampler == "grid":
        try:
            grid_size(space)
        except SpaceError as error:
            return str(error)
    return None
