"""The importance of searched settings, by Optuna's evaluators on the ledger."""

import json
import random

import pytest
import sqlalchemy as sa

from rnnbench.report.site.gather import gather
from rnnbench.results.database import open_database
from rnnbench.results.sql_index import result
from rnnbench.results.store import Store
from rnnbench.sweep.ledger.tables import create_sweep_tables, sweep_cell, trial
from rnnbench.sweep.search.dimensions import Dimension
from rnnbench.sweep.search.importance import importances

LR = Dimension("optimizer.lr", "float", 1e-4, 1e-1, log=True)
HIDDEN = Dimension("architecture.hidden", "int", 16, 256)
RESET = Dimension("architecture.reset", "choice", choices=("before", "after"))


def a_sweep(folder, trials, value, higher_is_better=False):
    """Fill a ledger with one cell whose trials reached `value(params)`."""
    Store(folder).close()
    engine = open_database(folder / "results.db")
    create_sweep_tables(engine)
    rng = random.Random(0)
    space = (LR, HIDDEN, RESET)
    run = {"task": {"name": "digits"}, "architecture": {"name": "gru"}, "tricks": []}
    definition = {"run": run, "space": {d.name: d.as_dict() for d in space}}
    with engine.begin() as connection:
        connection.execute(
            sa.insert(sweep_cell).values(
                sweep="s", study="digits.gru", position=0, definition=json.dumps(definition)
            )
        )
        for number in range(trials):
            params = {d.name: d.at(rng.random()) for d in space}
            connection.execute(
                sa.insert(trial).values(
                    key=f"s/digits.gru/{number}", sweep="s", study="digits.gru", stage="search",
                    number=number, spec="{}", run_id=f"r{number}", params=json.dumps(params),
                    state="done", attempt=1, deaths=0, value=value(params), curve="[]", costs="{}",
                    notes="{}",
                )
            )  # fmt: skip
        if higher_is_better is not None:
            record = json.dumps({"selection": {"higher_is_better": higher_is_better}})
            row = dict.fromkeys(("run_id", "task", "architecture", "tricks", "status"), "")
            row |= {"protocol_id": "", "config_id": "", "stamp": "", "record": record}
            row |= {"run_id": "r0", "seed": 0, "test": False, "attempt": 1}
            connection.execute(sa.insert(result).values(**row))
    return engine


@pytest.mark.parametrize("evaluator", ["ped-anova", "fanova"])
def test_the_setting_that_decides_has_the_largest_share(tmp_path, evaluator):
    engine = a_sweep(tmp_path, 60, lambda p: p["architecture.hidden"] / 256)
    (cell,) = importances(engine, "digits", evaluator=evaluator)
    assert cell.shares[0][0] == "architecture.hidden"
    assert cell.shares[0][1] > 0.6
    assert sum(share for _, share in cell.shares) == pytest.approx(1)
    assert (cell.architecture, cell.trials, cell.note) == ("gru", 60, "")
    assert importances(engine, "char-lm") == ()


@pytest.mark.parametrize("evaluator", ["ped-anova", "fanova"])
def test_trials_that_the_loss_alone_tells_apart_show_what_mattered(tmp_path, evaluator):
    engine = a_sweep(tmp_path, 60, lambda p: 1e-9 * p["architecture.hidden"] / 256)
    (cell,) = importances(engine, "digits", evaluator=evaluator)
    assert cell.shares[0][0] == "architecture.hidden"
    assert cell.shares[0][1] > 0.6


def good_when_small(params):
    """A value in which the learning rate decides among small ones, and the width among large."""
    return params["architecture.hidden"] / 256 + (params["optimizer.lr"] > 1e-3)


@pytest.mark.parametrize("higher", [False, True])
def test_the_best_trials_are_the_largest_where_larger_is_better(tmp_path, higher):
    sign = -1 if higher else 1
    engine = a_sweep(tmp_path, 200, lambda p: sign * good_when_small(p), higher_is_better=higher)
    (cell,) = importances(engine)
    other = tmp_path / "other"
    other.mkdir()
    (same,) = importances(a_sweep(other, 200, good_when_small))
    assert dict(cell.shares) == pytest.approx(dict(same.shares))
    assert dict(cell.shares)["optimizer.lr"] > 0.3


def test_what_is_good_is_not_guessed_where_no_record_says_it(tmp_path):
    engine = a_sweep(tmp_path, 60, lambda p: p["optimizer.lr"], higher_is_better=None)
    (cell,) = importances(engine)
    assert cell.shares == ()
    assert "no record of its trials is here" in cell.note


@pytest.mark.parametrize(
    ("count", "words"), [(1, "1 finished trial is too few"), (3, "3 finished trials are too few")]
)
def test_too_few_trials_say_so_instead_of_a_share(tmp_path, count, words):
    (cell,) = importances(a_sweep(tmp_path, count, lambda p: p["optimizer.lr"]))
    assert cell.shares == ()
    assert words in cell.note


def test_a_dimension_is_read_back_as_it_was_written():
    when = Dimension("a.b", "float", 0.0, 1.0, step=0.25, when=(("a.c", (1, 2)),))
    for d in (LR, HIDDEN, RESET, when):
        assert Dimension.from_dict(d.name, json.loads(json.dumps(d.as_dict()))) == d


def test_a_sweeps_page_asks_only_where_trials_are_enough(tmp_path):
    for trials, cells in ((9, 0), (12, 1)):
        folder = tmp_path / str(trials)
        folder.mkdir()
        a_sweep(folder, trials, lambda p: p["architecture.hidden"])
        store = Store(folder)
        assert len(gather(store).mattered("s")) == cells
        store.close()
