"""Sets the figures that a paper published beside those of a sweep ("recipes"). No torch.

    claim: DLinear forecasts 96 hours of ETTh1 with a squared error of 0.375
    paper: Zeng et al. (2023), arXiv:2205.13504
    where: table 2
    takes: a minute on two cores          # as measured, for a reader
    sweep: ../dlinear-etth1.yaml          # beside this file
    expect:
      - {row: dlinear + warmup-cosine, metric: mse, value: 0.375, tolerance: 0.01}
      - {row: uoro, metric: mse, value: 1.0, bound: at most}
    order:                                # who is better by the paper; figures or order may lack
      - [dlinear + warmup-cosine, repeat_last]

A row is called as the leaderboard calls it, by its whole name or an architecture or trick that
no other row has; a trivial baseline by its own name. `value` is as printed in the paper: its
digits say what counts as exact, so write it as text where it ends in 0 ("5.10").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rnnbench.errors import UserError
from rnnbench.files.shipped_sweeps import shipped_folder
from rnnbench.files.yaml_with_lines import YamlError, YamlText, read_yaml
from rnnbench.leaderboard.types import Board, Row
from rnnbench.registry.registry import did_you_mean

Outcome = Literal["exact", "within tolerance", "qualitative", "missed", "not attempted"]
KNOWN = ("claim", "paper", "where", "takes", "sweep", "expect", "order")


class RecipeError(UserError, ValueError):
    """A recipe that is not there, or cannot be read; the message says where."""


@dataclass(frozen=True)
class Expected:
    """A published figure; `bound` says that the paper claims no more than that.

    Attributes:
        text: as printed, whose digits say what is exact.
        tolerance: absolute, in the metric's unit.
    """

    row: str
    metric: str
    text: str
    value: float
    tolerance: float
    bound: Literal["", "at most", "at least"]
    task: str | None


@dataclass(frozen=True)
class Recipe:
    """A recipe file, read."""

    name: str
    file: Path
    claim: str
    paper: str
    where: str
    takes: str
    sweep: Path
    expect: tuple[Expected, ...]
    order: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ReproducedFigure:
    """A published figure beside ours.

    Attributes:
        value, half_width, seeds: ours; None and 0 where the row has no result.
    """

    expected: Expected
    value: float | None
    half_width: float | None
    seeds: int
    outcome: Outcome
    note: str = ""


@dataclass(frozen=True)
class ReproductionReport:
    """The outcome of a recipe: every published figure beside ours."""

    recipe: Recipe
    outcome: Outcome
    figures: tuple[ReproducedFigure, ...]
    order: tuple[tuple[str, str, bool | None], ...]  # None: one of the two has no result


def recipes_at_hand() -> Path:
    """Return the folder of recipes here, as in a checkout; else that of those that are shipped."""
    here = Path("sweeps/reproduce")
    return here if here.is_dir() else shipped_folder() / "reproduce"


def recipes(folder: Path | None = None) -> list[Recipe]:
    """Return all recipes of a folder, by name; by default those at hand.

    Raises:
        RecipeError: there is none, or one cannot be read.
    """
    folder = folder or recipes_at_hand()
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise RecipeError(f"there is no recipe in {folder}: name a file")
    return [read_recipe(file) for file in files]


def find_recipe(name: str, folder: Path | None = None) -> Recipe:
    """Return a recipe by its file, or by its name among those at hand."""
    folder = folder or recipes_at_hand()
    file = Path(name)
    if file.suffix in (".yaml", ".yml"):
        return read_recipe(file)
    known = [f.stem for f in sorted(folder.glob("*.yaml"))]
    if name not in known:
        raise RecipeError(
            f"no recipe {name!r} in {folder}{did_you_mean(name, known)}\n"
            f"  there are: {', '.join(known) or 'none'}"
        )
    return read_recipe(folder / f"{name}.yaml")


def read_recipe(file: Path) -> Recipe:
    """Read a recipe file.

    Raises:
        RecipeError: naming file and line.
    """
    try:
        text = read_yaml(file)
    except YamlError as error:
        raise RecipeError(str(error)) from error
    top = _read_mapping(text, (), text.value, KNOWN, KNOWN[:-2])
    sweep = file.parent / _read_text(text, ("sweep",), top["sweep"])
    if not sweep.is_file():
        raise _error(text, ("sweep",), f"there is no sweep file {sweep}")
    expect, order = top.get("expect", []), top.get("order", [])
    if not isinstance(expect, list) or not (expect or order):
        raise _error(text, (), "give expect, a list of published figures, or order, or both")
    if not isinstance(order, list) or not all(
        isinstance(p, list) and len(p) == 2 and all(isinstance(n, str) for n in p) for p in order
    ):
        raise _error(text, ("order",), "order is a list of pairs: [better row, worse row]")
    return Recipe(
        name=file.stem,
        file=file,
        **{k: _read_text(text, (k,), top[k]) for k in ("claim", "paper", "where", "takes")},
        sweep=sweep,
        expect=tuple(_read_expected(text, i, e) for i, e in enumerate(expect)),
        order=tuple((a, b) for a, b in order),
    )


def _read_expected(text: YamlText, index: int, value_given: Any) -> Expected:
    place = ("expect", index)
    known = ("row", "metric", "value", "tolerance", "bound", "task")
    entry = _read_mapping(text, place, value_given, known, ("row", "metric", "value"))
    bound = entry.get("bound", "")
    if bound not in ("", "at most", "at least"):
        raise _error(text, (*place, "bound"), f"bound is 'at most' or 'at least', got {bound!r}")
    if ("tolerance" in entry) == bool(bound):
        raise _error(text, place, "a figure has either a tolerance or a bound")
    try:
        value = float(entry["value"])
        tolerance = float(entry.get("tolerance", 0.0))
    except (TypeError, ValueError):
        raise _error(text, place, "value and tolerance are numbers") from None
    if not math.isfinite(value) or not 0 <= tolerance < math.inf:
        raise _error(text, place, "value and tolerance are finite, and the latter is not negative")
    return Expected(
        _read_text(text, place, entry["row"]), _read_text(text, place, entry["metric"]),
        str(entry["value"]), value, tolerance, bound, entry.get("task"),
    )  # fmt: skip


def judge(recipe: Recipe, boards: Sequence[Board]) -> ReproductionReport:
    """Set the published figures beside the boards of the recipe's sweep.

    Raises:
        RecipeError: a row or a metric that the boards do not have.
    """
    figures = tuple(_set_beside(recipe, e, boards) for e in recipe.expect)
    order = tuple((a, b, _is_better(recipe, a, b, boards)) for a, b in recipe.order)
    outcomes = {f.outcome for f in figures}
    outcome: Outcome
    if "not attempted" in outcomes or any(held is None for *_, held in order):
        outcome = "not attempted"
    elif outcomes == {"exact"}:
        outcome = "exact"
    elif outcomes and outcomes <= {"exact", "within tolerance"}:
        outcome = "within tolerance"
    elif order and all(held for *_, held in order):
        outcome = "qualitative"
    else:
        outcome = "missed"
    return ReproductionReport(recipe, outcome, figures, order)


def _set_beside(recipe: Recipe, expected: Expected, boards: Sequence[Board]) -> ReproducedFigure:
    row = _find_row(recipe, expected.row, boards, expected.task)
    if row is None:
        return ReproducedFigure(expected, None, None, 0, "not attempted")
    measured = row.test
    board = next(b for b in boards if row in b.rows)
    if expected.metric != board.headline.get("name"):
        if row.test is not None and expected.metric not in row.metrics:
            raise RecipeError(
                f"{recipe.file}: {row.name} has no {expected.metric!r}"
                f"{did_you_mean(expected.metric, row.metrics)}"
            )
        measured = row.metrics.get(expected.metric)
    if measured is None:
        note = "; ".join(f"{f.count} {f.status}" for f in row.failures)
        return ReproducedFigure(
            expected, None, None, 0, "missed" if note else "not attempted", note
        )
    return ReproducedFigure(
        expected,
        measured.mean,
        measured.half_width,
        measured.n,
        _outcome_of(expected, measured.mean),
    )


def _outcome_of(expected: Expected, value: float) -> Outcome:
    if expected.bound:
        held = value <= expected.value if expected.bound == "at most" else value >= expected.value
        return "within tolerance" if held else "missed"
    digits = len(expected.text.partition(".")[2]) if "e" not in expected.text.lower() else None
    if digits is not None and round(value, digits) == round(expected.value, digits):
        return "exact"
    return "within tolerance" if abs(value - expected.value) <= expected.tolerance else "missed"


def _is_better(recipe: Recipe, a: str, b: str, boards: Sequence[Board]) -> bool | None:
    first, second = (_find_row(recipe, name, boards, None) for name in (a, b))
    if first is None or second is None:
        return None
    board = next(board for board in boards if first in board.rows)
    if second not in board.rows:
        raise RecipeError(f"{recipe.file}: {a} and {b} are rows of different boards")
    if first.test is None:
        return False if first.failures else None
    if second.test is None:  # it failed, where the other did not
        return True if second.failures else None
    higher = bool(board.headline.get("higher_is_better"))
    return (first.test.mean > second.test.mean) is higher and first.test.mean != second.test.mean


def _find_row(recipe: Recipe, name: str, boards: Sequence[Board], task: str | None) -> Row | None:
    """Return the row of a name, None where the sweep has no results at all."""
    rows = [r for b in boards if task in (None, b.task) for r in b.rows]
    if not rows:
        return None
    matches = [r for r in rows if r.name == name] or [
        r for r in rows if name in (r.architecture, *r.parts)
    ]
    if len(matches) != 1:
        few = "no row" if not matches else f"{len(matches)} rows"
        raise RecipeError(
            f"{recipe.file}: {few} of the results of {recipe.sweep.name} match {name!r}; "
            f"they are: {', '.join(r.name for r in rows)}"
        )
    return matches[0]


def _read_mapping(
    text: YamlText, place: tuple[Any, ...], value: Any, known: Sequence[str], needed: Sequence[str]
) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _error(text, place, f"a mapping is needed here, got {value!r}")
    for key in value:
        if key not in known:
            raise _error(
                text, (*place, key),
                f"unknown key {key!r}{did_you_mean(str(key), known)}; there are {', '.join(known)}",
            )  # fmt: skip
    for key in needed:
        if key not in value:
            raise _error(text, place, f"{key!r} is missing")
    return value


def _read_text(text: YamlText, place: tuple[Any, ...], value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _error(text, place, f"{place[-1]} is text, got {value!r}")
    return value


def _error(text: YamlText, place: tuple[Any, ...], message: str) -> RecipeError:
    return RecipeError(f"{text.at(*place)}: {message}")
