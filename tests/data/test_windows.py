"""Forecasting windows: the right rows, no leak from the future, errors that centring keeps."""

import numpy as np
import pytest
import torch

from rnnbench.contract import Prediction
from rnnbench.data import Series, naive_scores, time_of_year
from rnnbench.data.series.naive_forecasts import naive_forecasts
from rnnbench.metrics import ForecastErrors


def series(target=0, missing=(), known=None, n=60, season=4):
    values = np.stack([np.arange(n) * 1.0, np.sin(np.arange(n))], 1)
    values[list(missing), 0] = np.nan
    return Series(values, ends=(30, 45, n), season=season, target=target, known_NK=known)


@pytest.mark.parametrize(
    ("split", "begin", "end"), [("train", 5, 30), ("valid", 30, 45), ("test", 45, 60)]
)
@pytest.mark.parametrize("centre", ["last", "none"])
def test_windows_hold_the_rows_they_say_and_their_targets_stay_in_the_split(
    split, begin, end, centre
):
    s = series()
    w = s.windows(split, 5, 3, centre)
    assert w.times_W.tolist() == list(range(begin, end - 2))
    for t in w.times_W:
        b = w.batch(np.array([t]), None)
        raw_x = np.stack([np.arange(t - 5, t), np.sin(np.arange(t - 5, t))], 1)
        want_x = (raw_x - s.mean_PD) / s.std_PD
        want_y = (np.arange(t, t + 3) - s.mean_PD[0, 0]) / s.std_PD[0, 0]
        if centre == "last":
            want_y = want_y - want_x[-1, 0]
            want_x = want_x - want_x[-1]
        assert b.x.shape == (1, 5, 2)
        assert b.y.shape == (1, 3, 1)
        assert torch.allclose(b.x[0].double(), torch.from_numpy(want_x), atol=1e-5)
        assert torch.allclose(b.y[0, :, 0].double(), torch.from_numpy(want_y), atol=1e-5)


def test_scaling_knows_the_training_part_alone():
    s = series()
    train = np.arange(30.0)
    assert s.mean_PD[0, 0] == pytest.approx(train.mean())
    assert s.std_PD[0, 0] == pytest.approx(train.std())
    assert s.naive_PV[0, 0] == pytest.approx(4 / train.std())  # a ramp moves by 4 in a season of 4


def test_a_missing_input_is_carried_forward_and_a_missing_target_stays_missing():
    s = series(missing=(31, 32))
    b = s.windows("valid", 3, 3, "none").batch(np.array([31, 33]), None)
    assert b.y[0, :, 0].isnan().tolist() == [True, True, False]
    z30 = float(s.scaled_ND[30, 0])
    assert b.x[1, :, 0].tolist() == pytest.approx([z30] * 3)
    assert not b.x.isnan().any()


def test_a_batch_never_changes_the_series():
    s = series()
    before = s.inputs_NI.copy()
    w = s.windows("train", 5, 3, "last")
    for key in w.order(7, None):
        w.batch(key, None).x.zero_()
    assert np.array_equal(before, s.inputs_NI)


def test_known_columns_are_read_as_they_are():
    known = time_of_year(np.arange(60))
    assert np.allclose((known**2).sum(1), 1)
    x = series(known=known).windows("train", 5, 3, "last").batch(np.array([9]), None).x
    assert torch.allclose(x[0, :, 2:], torch.from_numpy(known[4:9]).float())


@pytest.mark.parametrize("horizon", [3, 6])
def test_naive_forecasts_are_what_their_names_say(horizon):
    s = series()
    w = s.windows("test", 5, horizon, "none")
    made = naive_forecasts(w, np.array([50]))
    z = s.scaled_ND[:, 0]
    assert made["repeat_last"][0, :, 0].tolist() == pytest.approx([z[49]] * horizon)
    rows = [46, 47, 48, 49, 46, 47][:horizon]  # never a row that the window does not lie after
    assert made["seasonal_naive"][0, :, 0].tolist() == pytest.approx(z[rows].tolist())


def test_centring_changes_no_error():
    scores = []
    for centre in ("last", "none"):
        s = series(missing=(50,))
        scores.append(naive_scores(s.windows("test", 5, 3, centre), lambda: ForecastErrors(2.0)))
    for name in ("repeat_last", "seasonal_naive", "mean"):
        assert scores[0][name] == pytest.approx(scores[1][name], rel=1e-5)


def test_there_is_no_seasonal_forecast_in_the_first_season():
    s = series(season=8)
    w = s.windows("train", 2, 3, "none")
    assert set(naive_scores(w, lambda: ForecastErrors(1.0))) == {"repeat_last", "mean"}
    assert set(naive_forecasts(w, w.times_W)) == {"repeat_last", "mean"}


def test_series_and_windows_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="begins with a missing value"):
        series(missing=(0,))
    with pytest.raises(ValueError, match="no split"):
        series(season=40)
    with pytest.raises(ValueError, match="constant"):
        Series(np.ones((60, 1)), ends=(30, 45, 60), season=4)
    with pytest.raises(ValueError, match="valid has 15 rows, too few"):
        series().windows("valid", 5, 16, "none")


def test_a_perfect_forecast_has_no_error():
    w = series().windows("valid", 5, 3, "last")
    meter = ForecastErrors(1.0)
    b = w.batch(w.times_W, None)
    meter.update(b, Prediction(b.y * 0, ~b.y.isnan(), b.y, b.y))
    assert meter.compute() == {"mse": 0.0, "mae": 0.0, "mase": 0.0}
