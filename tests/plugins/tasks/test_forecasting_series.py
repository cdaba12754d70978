"""Several series and several columns in one array: windows, units and figures, by naive loops."""

import math
import tracemalloc

import numpy as np
import pytest
import torch

from rnnbench.contract import Prediction
from rnnbench.data import Series
from rnnbench.data.series.naive_forecasts import naive_forecasts, naive_scores
from rnnbench.metrics import Forecasts
from rnnbench_tasks.ett_h1 import ETTh1
from rnnbench_tasks.sunspots import Sunspots

LENGTHS = (40, 60)
CENTRES = pytest.mark.parametrize("centre", ["last", "none"])


def table(missing=((5, 0), (70, 1), (95, 0))):
    """(100, 3): two series of three columns."""
    rng = np.random.default_rng(3)
    values = 10 + rng.normal(size=(sum(LENGTHS), 3)).cumsum(0)
    for row, column in missing:
        values[row, column] = np.nan
    return values


def two(values=None, **more):
    ends = np.array([[20, 30, 40], [80, 90, 100]])
    settings = {"ends": ends, "season": 4, "target": (0, 1), "names": ("a", "b")}
    return Series(table() if values is None else values, **(settings | more))


@CENTRES
def test_windows_of_several_series_and_columns_hold_the_rows_they_say(centre):
    values, s = table(), two()
    w = s.windows("test", 6, 3, centre)
    assert w.times_W.tolist() == [*range(30, 38), *range(90, 98)]
    batch = w.batch(w.times_W, None)
    for i, t in enumerate(w.times_W):
        begin, train = (0, 20) if t < 40 else (40, 80)
        mean, std = np.nanmean(values[begin:train], 0), np.nanstd(values[begin:train], 0)
        z = (values - mean) / std
        filled = z.copy()
        for row in range(begin + 1, 100):
            gone = np.isnan(filled[row])
            filled[row, gone] = filled[row - 1, gone]
        shift = filled[t - 1] if centre == "last" else np.zeros(3)
        assert torch.allclose(
            batch.x[i].double(), torch.tensor(filled[t - 6 : t] - shift), atol=1e-5
        )
        want_y = torch.tensor((z[t : t + 3] - shift)[:, :2])
        assert torch.equal(batch.y[i].isnan(), want_y.isnan())
        assert torch.allclose(batch.y[i].nan_to_num().double(), want_y.nan_to_num(), atol=1e-5)


@pytest.mark.parametrize(("split", "begins"), [("train", (6, 46)), ("valid", (20, 80))])
def test_no_window_reaches_over_the_end_of_a_series(split, begins):
    times = two().windows(split, 6, 3, "none").times_W
    ends = {"train": (20, 80), "valid": (30, 90)}[split]
    want = [t for b, e in zip(begins, ends, strict=True) for t in range(b, e - 2)]
    assert times.tolist() == want


def test_a_stride_leaves_out_windows_of_each_series_alike():
    assert two().windows("test", 6, 3, "none", 4).times_W.tolist() == [30, 34, 90, 94]


@CENTRES
def test_columns_known_ahead_are_read_a_horizon_ahead(centre):
    values = table(missing=())
    s = two(values, ahead=(2,))
    w = s.windows("test", 6, 4, centre)
    assert s.width == 4
    x = w.batch(np.array([92]), None).x[0].double()
    z = (values[:, 2] - values[40:80, 2].mean()) / values[40:80, 2].std()
    shift = z[91] if centre == "last" else 0
    assert x[:, 2].tolist() == pytest.approx((z[86:92] - shift).tolist(), abs=1e-5)
    assert x[:, 3].tolist() == pytest.approx((z[90:96] - shift).tolist(), abs=1e-5)
    with pytest.raises(ValueError, match="at least as long as the horizon"):
        s.windows("test", 3, 4, centre)


@CENTRES
def test_rows_that_a_user_gives_become_the_window_that_the_series_has(centre):
    values = table(missing=())
    known = np.arange(200.0).reshape(100, 2)
    s = two(values, ahead=(2,), known_NK=known)
    window = s.windows("test", 6, 4, centre).batch(np.array([92]), None)
    x, restore = s.tail(values[86:96], known[86:96], centre, context=6, horizon=4, series=1)
    assert torch.allclose(torch.from_numpy(x), window.x, atol=1e-5)
    assert restore(window.y[0].double().numpy()) == pytest.approx(values[92:96, :2], rel=1e-5)


def test_series_are_scaled_each_or_together():
    values = table()
    train = np.concatenate([values[:20], values[40:80]])
    together = two(scaled="together")
    assert together.mean_PD[0] == pytest.approx(np.nanmean(train, 0))
    assert together.mean_PD[1] == pytest.approx(np.nanmean(train, 0))
    assert two().std_PD[1] == pytest.approx(np.nanstd(values[40:80], 0))


def test_a_leading_gap_is_refused_or_becomes_the_training_mean():
    values = table(missing=((40, 0), (41, 0)))
    with pytest.raises(ValueError, match="series 'b': column 0 begins with a missing value"):
        two(values)
    s = two(values, leading="mean")
    assert s.inputs_NI[40:42, 0].tolist() == [0, 0]  # and not the last value of series a
    assert s.inputs_NI[42, 0] != 0


def test_what_cannot_be_scaled_or_cut_is_refused_by_name():
    flat = table()
    flat[:20, 1] = 7
    with pytest.raises(ValueError, match="series 'a': temperature is constant"):
        two(flat, columns=("load", "temperature", "wind"))
    gone = table()
    gone[40:80, 2] = np.nan
    with pytest.raises(ValueError, match="'b': column 2 has no value in the training part"):
        two(gone, leading="mean")
    with pytest.raises(ValueError, match=r"'a': .*40 rows, season 25: no split"):
        two(season=25)
    with pytest.raises(ValueError, match="series 'a': test has 10 rows, too few"):
        two().windows("test", 6, 11, "none")
    sparse = table()
    sparse[:20, 0] = np.nan
    sparse[[0, 1], 0] = 1.0, 2.0
    with pytest.raises(ValueError, match="no two values a season of 4 apart"):
        two(sparse)


def test_a_series_without_a_training_window_is_still_evaluated():
    w = two().windows("train", 18, 3, "none")
    assert w.times_W.min() == 58
    assert two().windows("valid", 18, 3, "none").times_W.min() == 20


def test_windows_are_views_on_one_array():
    n = 200_000
    values = np.random.default_rng(0).normal(size=(n, 3))
    s = Series(values, ends=(n - 20_000, n - 10_000, n), season=24, target=(0, 1, 2))
    tracemalloc.start()
    w = s.windows("train", 336, 720, "none")
    order = w.order(32, torch.Generator().manual_seed(0))
    batch = w.batch(order[0], None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert batch.x.shape == (32, 336, 3)
    assert peak < 10e6  # the windows hold 2 GB
    assert s.target_NV is s.scaled_ND


@CENTRES
def test_figures_are_those_of_a_loop_over_values_in_their_own_unit(centre):
    values, s = table(), two(insample="before")
    w = s.windows("test", 6, 3, centre)
    batch = w.batch(w.times_W, None)
    forecast = batch.y.nan_to_num() + 0.3 * torch.randn_like(batch.y)
    meter = Forecasts(w.unit, 2)
    for rows in (slice(0, 5), slice(5, None)):
        part = batch._replace(x=batch.x[rows], y=batch.y[rows], item_B=batch.item_B[rows])
        mask = ~part.y.isnan()
        meter.update(part, Prediction(part.y, mask, forecast[rows], forecast[rows]))
    found = meter.compute()
    sums = {"squares": [], "errors": [], "scaled": [], "shares": []}
    truths, by_column = [], {}
    unit = w.unit(batch.item_B)
    for i, t in enumerate(w.times_W.tolist()):
        p, begin, train, test = (0, 0, 20, 30) if t < 40 else (1, 40, 80, 90)
        for v in range(2):
            mean, std = np.nanmean(values[begin:train, v]), np.nanstd(values[begin:train, v])
            lags = np.abs(values[begin + 4 : test, v] - values[begin : test - 4, v]) / std
            for h in range(3):
                y = values[t + h, v]
                if np.isnan(y):
                    continue
                f = (float(forecast[i, h, v]) + float(unit.level_BV[i, v])) * std + mean
                sums["squares"].append(((f - y) / std) ** 2)
                sums["errors"].append(abs(f - y) / std)
                sums["scaled"].append(abs(f - y) / std / np.nanmean(lags))
                sums["shares"].append(200 * abs(f - y) / (abs(f) + abs(y)))
                truths.append((y - mean) / std)
                by_column.setdefault((p, v), []).append((y, f))
    assert found == pytest.approx(
        {
            "mse": np.mean(sums["squares"]),
            "mae": np.mean(sums["errors"]),
            "mase": np.mean(sums["scaled"]),
            "smape": np.mean(sums["shares"]),
            "rse": math.sqrt(np.sum(sums["squares"]) / (np.var(truths) * len(truths))),
            "corr": np.mean([np.corrcoef(*np.array(c).T)[0, 1] for c in by_column.values()]),
        },
        rel=1e-4,
    )


@CENTRES
def test_naive_forecasts_stay_within_their_series(centre):
    s = two()
    w = s.windows("valid", 6, 6, centre)
    key = np.array([82])
    made = {k: v[0].numpy() + w.level(key)[0] for k, v in naive_forecasts(w, key).items()}
    filled = s.inputs_NI[:, :2]
    assert made["repeat_last"] == pytest.approx(np.repeat(filled[81:82], 6, 0), abs=1e-6)
    assert made["seasonal_naive"] == pytest.approx(filled[[78, 79, 80, 81, 78, 79]], abs=1e-6)
    assert made["mean"] == pytest.approx(np.zeros((6, 2)), abs=1e-6)
    scores = naive_scores(s.windows("train", 2, 6, centre), lambda: Forecasts(w.unit, 2))
    assert set(scores) == {"repeat_last", "mean"}  # a season does not lie before all of them


def test_a_forecast_without_a_target_is_not_measured():
    s = two()
    w = s.windows("test", 6, 3, "none")
    batch = w.batch(w.times_W[:2], None)
    meter = Forecasts(w.unit, 2)
    empty = torch.zeros_like(batch.y, dtype=torch.bool)
    meter.update(batch, Prediction(batch.y, empty, batch.y, batch.y))
    with pytest.raises(RuntimeError, match="saw no target"):
        meter.compute()


@pytest.mark.parametrize("stride", [1, 7])
def test_held_out_windows_are_a_stride_apart_and_training_ones_are_not(stride):
    task = Sunspots(stride=stride)
    for split, apart in (("train", 1), ("valid", stride), ("test", stride)):
        times = task.data(split, 0).times_W
        assert len(times) > 2
        assert set(np.diff(times)) == {apart}


def test_the_legacy_switch_drops_the_test_windows_that_fill_no_batch_of_32(monkeypatch):
    days, rng = 600 * 24, np.random.default_rng(0)
    series = Series(
        rng.normal(size=(days, 7)), ends=(360 * 24, 480 * 24, days), season=24, target=range(7)
    )
    monkeypatch.setattr(ETTh1, "series", series)
    all_of_them = ETTh1().data("test", 0).times_W
    kept = ETTh1(legacy_drop_last=True).data("test", 0).times_W
    assert len(all_of_them) == 2880 - 96 + 1
    assert kept.tolist() == all_of_them[: 87 * 32].tolist()
    assert len(ETTh1(legacy_drop_last=True).data("valid", 0)) == len(all_of_them)
