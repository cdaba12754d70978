"""Which cells of a sweep, differing in settings alone, make rows of their own."""

import pytest
from leaderboard.attributions import attributed, of_study

from rnnbench.cli.actions.sweep import records_of
from rnnbench.leaderboard.boards import build
from rnnbench.results.store import Store
from rnnbench.sweep.file.sweep import parse_sweep
from rnnbench.sweep.ledger.ledger import Ledger, TrialRow


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_cells_that_differ_in_written_settings_are_told_apart():
    attribution = attributed(
        of_study("bare", (), [1.5, 1.6]),
        of_study("one", ("tbptt",), [1.9, 2.0], k1=1, k2=1),
        of_study("ten", ("tbptt",), [1.4, 1.5], k1=10, k2=1),
    )
    gains = {c.name: c.effects[0].difference.mean for c in attribution.comparisons}
    assert gains == pytest.approx({"tbptt (k1=1)": -0.4, "tbptt (k1=10)": 0.1})


def test_architectures_that_differ_in_written_settings_are_columns_of_their_own():
    attribution = attributed(
        *(
            of_study(f"{hidden}{tricks}", tricks, [1.5 - len(tricks) / 10, 1.6], hidden=hidden)
            for hidden in (64, 128)
            for tricks in ((), ("clip",))
        )
    )
    assert attribution.architectures == ("lstm (hidden=128)", "lstm (hidden=64)")


def test_searched_settings_make_one_row():
    groups = [
        of_study("a", ("clip",), [1.4], lr=1e-3, limit=0.5),
        of_study("a", ("clip",), [1.5], lr=3e-3, limit=2.0),
        of_study("b", ("clip",), [1.6], lr=1e-2, limit=1.0),  # the file was edited: a new study
    ]
    (board,) = build([r for g in groups for r in g])
    (row,) = [r for r in board.rows if r.kind == "ranked"]
    assert (row.name, row.configurations) == ("lstm + clip", 3)


def test_a_setting_that_one_study_searches_and_two_write_down_makes_three_rows():
    groups = [
        of_study("a", ("clip",), [1.4], limit=0.5),
        of_study("b", ("clip",), [1.5], limit=2.0),
        of_study("c", ("clip",), [1.6], lr=1e-2, limit=1.0),
        of_study("c", ("clip",), [1.6], lr=1e-3, limit=3.0),
    ]
    (board,) = build([r for g in groups for r in g])
    assert {r.name for r in board.rows if r.kind == "ranked"} == {
        "lstm + clip (limit=0.5)",
        "lstm + clip (limit=2.0)",
        "lstm + clip (limit searched)",
    }


def test_optimisers_settings_never_divide_a_row_and_hand_made_runs_join_theirs():
    groups = [
        of_study("a", ("clip",), [1.4, 1.5], lr=1e-3, limit=0.5),
        of_study("b", ("clip",), [1.5, 1.6], lr=3e-3, limit=0.5),
        of_study("c", ("clip",), [1.5, 1.6], lr=3e-3, limit=2.0),
        of_study(None, ("clip",), [1.5, 1.6], lr=1e-2, limit=2.0),
    ]
    (board,) = build([r for g in groups for r in g])
    rows = {r.name: r.configurations for r in board.rows if r.kind == "ranked"}
    assert rows == {"lstm + clip (limit=0.5)": 2, "lstm + clip (limit=2.0)": 2}


def test_hand_made_runs_alone_are_one_row_as_nobody_said_what_was_tried():
    groups = [of_study(None, ("clip",), [1.4], limit=limit) for limit in (0.5, 1.0)]
    (board,) = build([r for g in groups for r in g])
    assert [r.name for r in board.rows if r.kind == "ranked"] == ["lstm + clip"]


def test_a_sweep_tells_its_cells_apart_though_their_runs_were_made_before_it(store):
    sweep = parse_sweep("""
name: both
tasks: [char-lm]
architectures: [lstm]
tricks: [[{name: tbptt, k1: 1}], [{name: tbptt, k1: 10}]]
final: {seeds: [1]}
""")
    ledger = Ledger(store.engine, "both", "me")
    for k1 in (1, 10):
        (record,) = of_study(None, ("tbptt",), [1.5], k1=k1)
        store.write(record)
        study = f"lstm+tbptt.{k1}"
        key, spec = f"both/{study}/final/1", record.spec.canonical()
        ledger.plan([TrialRow(key, "both", study, "final", 1, spec, record.run_id)])
    assert len([r for r in build(store.records())[0].rows if r.kind == "ranked"]) == 1
    (board,) = build(records_of(store, sweep))
    names = {r.name for r in board.rows if r.kind == "ranked"}
    assert names == {"lstm + tbptt (k1=1)", "lstm + tbptt (k1=10)"}
