"""Ranges with a step: the values are those that a person would write, whatever draws them."""

from decimal import Decimal

import pytest
from support.searching import search, sweep_text
from support.small_sweeps import rows_of

from rnnbench.sweep.file.search_options import SAMPLERS, ChosenMethod
from rnnbench.sweep.search.dimensions import SpaceError, dimension, grid_point, grid_size
from rnnbench.sweep.search.samplers import distribution
from rnnbench.sweep.search.study import CellStudy, KnownTrial

TENTHS = {"low": 0.1, "high": 0.7, "step": 0.1}
SEVEN = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
LOWS = ("0", "0.1", "0.2", "0.3", "0.05", "0.01", "-0.3", "1e-3")
STEPS = ("0.1", "0.2", "0.3", "0.05", "0.01", "0.02", "0.07", "1e-3", "0.25")
COUNTS = (1, 2, 3, 5, 6, 7, 9, 13)


def ordinary_ranges():
    """Yield low, high and step as a person writes them, and every value between."""
    for low in map(Decimal, LOWS):
        for step in map(Decimal, STEPS):
            for count in COUNTS:
                yield low, low + count * step, step, [low + i * step for i in range(count + 1)]


def study_of(sampler, space, known=()):
    options = {k: o.default for k, o in SAMPLERS[sampler].items()}
    options |= {"startup_trials": 2} if "startup_trials" in options else {}
    options |= {"population": 4} if "population" in options else {}
    return CellStudy(
        "sweep/cell", space, sampler=ChosenMethod(sampler, tuple(options.items())),
        pruner=ChosenMethod("none"), seed=0, higher_is_better=[False], known=known,
    )  # fmt: skip


def test_every_ordinary_range_has_the_values_that_are_written():
    for low, high, step, written in ordinary_ranges():
        entry = {"low": float(low), "high": float(high), "step": float(step)}
        d = dimension("rate", entry, float, None)
        assert d.values() == [float(v) for v in written], entry
        drawn = distribution(d)
        assert all(drawn._contains(v) and d.holds(v) for v in d.values()), entry
        assert [d.at(i / len(written) + 1e-9) for i in range(len(written))] == d.values()
        assert [d.nearest(float(low) + i * float(step)) for i in range(len(written))] == d.values()


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if s not in ("grid", "cmaes", "gp")])
def test_samplers_draw_the_values_that_are_written_and_so_do_restarts(sampler):
    space = [dimension("rate", TENTHS, float, None)]
    study, known, drawn = study_of(sampler, space), [], set()
    for _ in range(40):
        number, params = study.propose()
        assert params["rate"] in SEVEN
        drawn.add(params["rate"])
        value = abs(params["rate"] - 0.45) if len(known) % 2 else params["rate"]
        notes = study.notes(number)
        study.tell(number, "done", [value], [(1, value)])
        known.append(KnownTrial(number, params, "done", (value,), [(1, value)], notes))
    assert len(drawn) > 4
    assert study_of(sampler, space, known).propose() == study.propose()


@pytest.mark.parametrize("sampler", ["cmaes", "gp"])
def test_samplers_of_many_numbers_draw_the_values_that_are_written(sampler):
    space = [
        dimension("rate", TENTHS, float, None),
        dimension("width", {"low": 3, "high": 24, "step": 7}, int, None),
        dimension("lr", {"low": 1e-3, "high": 1e-1, "log": True}, float, None),
        dimension("size", {"low": 1, "high": 9, "log": True}, int, None),
    ]
    study = study_of(sampler, space)
    for _ in range(12):
        number, params = study.propose()
        assert params["rate"] in SEVEN
        assert params["width"] in (3, 10, 17, 24)
        assert 1e-3 <= params["lr"] <= 1e-1
        assert params["size"] in range(1, 10)
        study.tell(number, "done", [-params["rate"] - params["width"]])


def test_a_grid_has_all_seven_points():
    space = [dimension("rate", TENTHS, float, None)]
    assert sorted(grid_point(space, i, 0)["rate"] for i in range(grid_size(space))) == SEVEN


@pytest.mark.parametrize("sampler", ["grid", "qmc", "random", "tpe", "cmaes"])
def test_a_sweep_over_steps_comes_to_its_end_and_may_be_started_again(sampler, tmp_path):
    lr, hidden = "{low: 0.1, high: 0.7, step: 0.1}", "{low: 4, high: 8, step: 4}"
    space = f"{{optimizer.lr: {lr}, architecture.hidden: {hidden}}}"
    text = sweep_text(sampler=sampler, space=space, trials=14)
    search(text, tmp_path, most=13)
    search(text, tmp_path)
    rows = rows_of(tmp_path)
    assert len(rows) == 14
    assert {r.params["optimizer.lr"] for r in rows} <= set(SEVEN)
    if sampler == "grid":
        assert sorted(r.params["optimizer.lr"] for r in rows) == sorted(SEVEN * 2)


def test_a_ledger_of_before_with_a_value_a_hair_beyond_is_read():
    space = [dimension("rate", TENTHS, float, None)]
    known = [KnownTrial(0, {"rate": 0.1 + 6 * 0.1}, "done", (1.0,))]
    assert study_of("tpe", space, known).propose()[1]["rate"] in SEVEN


def test_steps_that_miss_the_end_are_refused_with_ends_that_can_be_written():
    entry = {"low": 0.1, "high": 0.75, "step": 0.2}
    with pytest.raises(SpaceError, match=r"the last one is 0\.7 and the next 0\.9: write one"):
        dimension("rate", entry, float, None)


def test_a_third_that_nobody_can_write_out_is_taken_as_meant():
    d = dimension("rate", {"low": 0, "high": 1, "step": 0.3333333333}, float, None)
    assert d.values() == [0.0, 0.3333333333, 0.6666666666, 0.9999999999]
    assert all(distribution(d)._contains(v) for v in d.values())


@pytest.mark.parametrize("sampler", ["qmc", "cmaes"])
def test_a_range_of_more_numbers_than_memory_holds_is_searched_all_the_same(sampler):
    space = [
        dimension("width", {"low": 1, "high": 2**40}, int, None),
        dimension("rate", {"low": 0, "high": 1, "step": 1e-9}, float, None),
    ]
    params = study_of(sampler, space).propose()[1]
    assert 1 <= params["width"] <= 2**40
    assert 0 <= params["rate"] <= 1
    with pytest.raises(SpaceError, match="give width a larger step, or another sampler"):
        grid_size(space)
