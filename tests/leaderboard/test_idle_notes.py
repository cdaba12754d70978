"""What changed nothing is said in the run's own lines, in its record and on the board."""

import numpy as np
import pytest
import torch
from support.command_line import call
from support.fake_records import make_record, make_spec

from rnnbench.contract import Prediction
from rnnbench.data.series.series import Series
from rnnbench.leaderboard.boards import build
from rnnbench.metrics.forecasting import Forecasts

RUN = ["digits", "gru", "task.step=row", "architecture.hidden=4", "budget.steps=4",
       "budget.validate_every=2"]  # fmt: skip


def marks_of(records):
    (board,) = build(records)
    return {row.name: row.marks for row in board.rows}, board.notes


@pytest.mark.parametrize("trick", ["nt-asgd", "plateau"])
def test_a_trick_whose_trigger_never_fired_says_so_and_why(trick, tmp_path):
    said = call("run", *RUN, "--trick", trick, "--out", tmp_path)
    assert f"note: {trick} never acted: " in said
    assert f"tricks.{trick}." in said  # which setting lets it
    assert f"{trick} never acted" in call("run", *RUN, "--trick", trick, "--out", tmp_path)
    assert f"{trick} never acted in 1 of 1 seeds" in call("leaderboard", "--out", tmp_path)


@pytest.mark.parametrize("trick", ["nt-asgd:interval=0", "plateau:patience=0"])
def test_a_trick_whose_trigger_fired_says_nothing(trick, tmp_path):
    fired = [*RUN[:-2], "budget.steps=12", "budget.validate_every=1", "optimizer.lr=1"]
    assert "never acted" not in call("run", *fired, "--trick", trick, "--out", tmp_path)


def test_a_row_equal_to_the_bare_one_to_the_last_digit_is_marked():
    bare = [make_record(make_spec(seed=s), 1.5 + s / 10) for s in (1, 2)]
    same = [make_record(make_spec(tricks=("clip",), seed=s), 1.5 + s / 10) for s in (1, 2)]
    other = [make_record(make_spec(tricks=("zoneout",), seed=s), 1.6 + s / 10) for s in (1, 2)]
    marks, _ = marks_of([*bare, *same, *other])
    assert "equal to lstm to the last digit: clip changed nothing" in marks["lstm + clip"]
    assert not any("last digit" in m for m in marks["lstm"] + marks["lstm + zoneout"])


def test_equal_headlines_with_another_loss_are_no_equal_rows():
    def loss(record, value):
        record.metrics["test"]["loss"] = value
        return record

    bare = [loss(make_record(make_spec(seed=1), 1.5), 2.0)]
    tricked = [loss(make_record(make_spec(tricks=("clip",), seed=1), 1.5), 2.1)]
    marks, _ = marks_of([*bare, *tricked])
    assert not any("last digit" in m for m in marks["lstm + clip"])


def test_what_a_meter_leaves_out_stands_on_the_board_once():
    records = [make_record(make_spec(seed=s), 1.5 + s) for s in (1, 2)]
    for record in records:
        record.provenance["metric_notes"] = ["mase leaves out s4"]
    _, notes = marks_of(records)
    assert notes.count("mase leaves out s4") == 1


def many(count, repeating, steps=80, season=4):
    """Return a series of so many parts, some of which repeat themselves exactly."""
    rng, parts = np.random.default_rng(0), []
    for p in range(count):
        pattern = np.tile([1.0, 2.0, 5.0, 3.0], steps // 4)
        parts.append(pattern if p in repeating else pattern + rng.random(steps))
    ends = np.array([[p * steps + e for e in (48, 64, steps)] for p in range(count)])
    return Series(
        np.concatenate(parts)[:, None],
        ends=ends,
        season=season,
        names=[f"s{p}" for p in range(count)],
    )


def measured(series):
    windows = series.windows("test", 4, 4, "none")
    meter = Forecasts(windows.unit, len(series.names), names=series.names)
    batch = windows.batch(windows.times_W, None)
    forecast = batch.y + 0.5
    meter.update(
        batch, Prediction(batch.y, torch.ones_like(batch.y, dtype=bool), forecast, forecast)
    )
    return meter, meter.compute()


def test_one_series_that_repeats_itself_leaves_the_mase_of_the_others():
    meter, values = measured(many(21, {4}))
    assert np.isfinite(values["mase"])
    assert "in 1 of 21 series ('s4')" in meter.notes[0]
    assert len(meter.items("mase").values) == 20
    assert len(meter.items("mae").values) == 21
    alone, wanted = measured(many(21, set()))
    assert alone.notes == ()
    assert wanted["mase"] == pytest.approx(values["mase"], rel=0.2)


def test_where_every_series_repeats_itself_there_is_no_mase_and_it_is_said():
    meter, values = measured(many(2, {0, 1}))
    assert np.isnan(values["mase"])
    assert "in 2 of 2 series ('s0', 's1')" in meter.notes[0]
    assert np.isfinite(values["mae"])


@pytest.mark.parametrize(("step", "season"), [(3600, 24), (86400, 7), (3_600_000, 24)])
def test_times_in_plain_numbers_say_that_they_tell_no_season(step, season, tmp_path):
    rng = np.random.default_rng(0)
    rows = "".join(f"{1_700_000_000 + i * step},{v:.4f}\n" for i, v in enumerate(rng.random(200)))
    (tmp_path / "t.csv").write_text("t,v\n" + rows)
    task = ["csv-forecast", "dlinear", f"task.path={tmp_path}/t.csv", "task.context=8",
            "task.horizon=2", "budget.steps=2", "budget.validate_every=2"]  # fmt: skip
    said = call("run", *task, "--out", tmp_path / "r")
    assert "tell no season" in said
    assert f"task.season={season}" in said
    assert "tell no season" in call("leaderboard", "--out", tmp_path / "r")
    told = call("run", *task, f"task.season={season}", "--out", tmp_path / "s")
    assert "tell no season" not in told
