"""Studies: proposals that a restart repeats, pruning, and failures."""

import json
import math

import optuna
import pytest

from rnnbench.sweep.file.search_options import PRUNERS, REQUIRED, SAMPLERS, ChosenMethod
from rnnbench.sweep.search.dimensions import dimension
from rnnbench.sweep.search.optuna_export import StudyCopies
from rnnbench.sweep.search.pruners import make_pruner
from rnnbench.sweep.search.study import CellStudy, KnownTrial

SPACE = [
    dimension("lr", {"low": 1e-4, "high": 1e-1, "log": True}, float, None),
    dimension("width", {"low": 8, "high": 64, "step": 8}, int, None),
    dimension("activation", {"choices": ["tanh", None, True]}, str, None),
]
GRID = SPACE[1:]


def chosen(menu, name, **options):
    defaults = {k: o.default for k, o in menu[name].items()}
    return ChosenMethod(name, tuple((defaults | options).items()))


def make_study(sampler="tpe", pruner=None, space=SPACE, known=(), copies=None, **options):
    return CellStudy(
        "sweep/cell",
        space,
        sampler=chosen(SAMPLERS, sampler, **options),
        pruner=pruner or ChosenMethod("none"),
        seed=0,
        higher_is_better=[False],
        known=known,
        copies=copies,
    )


def error_of(params):
    return abs(math.log10(params["lr"]) + 2) if "lr" in params else params["width"] / 100


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_study_rebuilt_from_the_ledger_proposes_the_same(sampler):
    options = {"startup_trials": 3} if sampler == "tpe" else {}
    space = GRID if sampler == "grid" else SPACE
    first, known, proposed = make_study(sampler, space=space, **options), [], []
    for _ in range(10):
        number, params = first.propose()
        proposed.append(params)
        again = make_study(sampler, space=space, known=known, **options)
        assert again.propose() == (number, params)
        value, notes = error_of(params), json.loads(json.dumps(first.notes(number)))
        first.tell(number, "done", [value], [(50, value)])
        known.append(KnownTrial(number, params, "done", (value,), [(50, value)], notes))
    assert len({str(p) for p in proposed}) > 5


def test_another_seed_and_another_cell_propose_something_else():
    def first(name, seed):
        return CellStudy(
            name, SPACE, sampler=chosen(SAMPLERS, "tpe"), pruner=ChosenMethod("none"), seed=seed,
            higher_is_better=[False],
        ).propose()[1]["lr"]  # fmt: skip

    assert first("a", 0) == first("a", 0)
    assert len({first("a", 0), first("a", 1), first("b", 0)}) == 3


def test_a_trial_that_was_running_is_still_counted_after_a_restart():
    study = make_study()
    first = study.propose()
    again = make_study(known=[KnownTrial(*first, "running")])
    assert again.propose() == study.propose()
    again.tell(0, "done", [1.0])


def test_a_gap_in_the_numbers_is_an_error():
    with pytest.raises(ValueError, match="trial 0 is missing"):
        make_study(known=[KnownTrial(1, {"lr": 1e-3, "width": 8, "activation": "tanh"}, "planned")])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_a_value_that_is_not_finite_is_never_done(value):
    study = make_study()
    number, _ = study.propose()
    with pytest.raises(ValueError, match="is done with the value"):
        study.tell(number, "done", [value], [])
    study.tell(number, "failed", (), [(50, 1.0), (100, math.nan)])
    assert study.propose()[0] == 1


def test_a_non_finite_report_is_left_to_the_run():
    study = make_study(pruner=chosen(PRUNERS, "threshold", upper=1.0))
    number, _ = study.propose()
    assert not study.report(number, 50, math.nan)
    assert not study.report(number, 100, 0.5)
    assert study.report(number, 150, 2.0)


def test_the_median_pruner_stops_what_is_worse_than_half():
    study = make_study(pruner=chosen(PRUNERS, "median", startup_trials=2))
    for value in (1.0, 2.0):
        number, _ = study.propose()
        assert not study.report(number, 50, value)
        study.tell(number, "done", [value], [(50, value)])
    number, _ = study.propose()
    assert study.report(number, 50, 3.0)
    number, _ = study.propose()
    assert not study.report(number, 50, 1.2)
    assert not study.report(number, 50, 1.2)  # a retried run reports again


def test_rungs_of_successive_halving_survive_a_restart():
    pruner = chosen(PRUNERS, "asha", min_steps=50, factor=2)
    study, known = make_study(pruner=pruner), []
    for value in (1.0, 2.0, 3.0, 4.0):
        number, params = study.propose()
        assert study.report(number, 50, value) == (value > 1.0)
        state = "pruned" if value > 1.0 else "done"
        notes = study.notes(number)
        study.tell(number, state, [value], [(50, value)])
        known.append(KnownTrial(number, params, state, (value,), [(50, value)], notes))
    for again in (study, make_study(pruner=pruner, known=known)):
        number, _ = again.propose()
        assert again.report(number, 50, 2.5)
        number, _ = again.propose()
        assert not again.report(number, 50, 0.5)


@pytest.mark.parametrize("name", PRUNERS)
def test_every_pruner_of_the_menu_can_be_made(name):
    required = {k: 50 for k, o in PRUNERS[name].items() if o.default is REQUIRED}
    required |= {"max_steps": 400} if name == "hyperband" else {}
    required |= {"upper": 9.0} if name == "threshold" else {}
    pruner = chosen(PRUNERS, name, **required)
    study = make_study(pruner=pruner)
    number, _ = study.propose()
    assert study.report(number, 50, 1.0) in (True, False)
    assert isinstance(make_pruner(pruner), optuna.pruners.BasePruner)


def test_copies_have_the_same_numbers_and_no_running_trials(tmp_path):
    copies = StudyCopies(tmp_path / "studies.db")
    study = make_study(copies=copies)
    params = [study.propose()[1] for _ in range(4)]
    study.tell(1, "done", [1.0], [(50, 1.5), (100, 1.0)], "run-1")
    study.tell(0, "failed")
    study.tell(3, "done", [3.0])
    copies.close()
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    copied = optuna.load_study(study_name="sweep/cell", storage=url).trials
    assert [t.state.name for t in copied] == ["FAIL", "COMPLETE"]
    assert copied[1].params == params[1]
    assert copied[1].intermediate_values == {50: 1.5, 100: 1.0}
    assert copied[1].user_attrs == {"run_id": "run-1"}
    # A driver that died before it copied catches up.
    known = [
        KnownTrial(0, params[0], "failed"),
        KnownTrial(1, params[1], "done", (1.0,), [(50, 1.5), (100, 1.0)]),
        KnownTrial(2, params[2], "pruned", (), [(50, 2.0)]),
        KnownTrial(3, params[3], "done", (3.0,)),
    ]
    copies = StudyCopies(tmp_path / "studies.db")
    make_study(known=known, copies=copies)
    copies.close()
    copied = optuna.load_study(study_name="sweep/cell", storage=url)
    assert [t.state.name for t in copied.trials] == ["FAIL", "COMPLETE", "PRUNED", "COMPLETE"]
    assert copied.best_trial.number == 1


def test_a_patient_pruner_stops_only_what_the_wrapped_one_would_stop_too():
    for wraps, stopped in ((None, True), ("median", False)):
        study = make_study(pruner=chosen(PRUNERS, "patient", patience=1, wraps=wraps))
        number, _ = study.propose()
        verdicts = [study.report(number, step, value) for step, value in ((1, 1.0), (2, 2.0))]
        verdicts += [study.report(number, step, 3.0) for step in (3, 4)]
        assert verdicts[:2] == [False, False]
        assert verdicts[-1] is stopped  # a median of no finished trials stops nothing
