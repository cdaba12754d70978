"""CO2 and Seattle's weather, against figures computed from the tables by other means."""

import numpy as np
import pandas as pd
import pytest

from rnnbench.contract import Kind
from rnnbench.data import fetch
from rnnbench_tasks.co2 import CO2
from rnnbench_tasks.seattle_weather import _WEATHER, SeattleWeather


@pytest.fixture(scope="module")
def co2():
    from statsmodels.datasets import co2

    return co2.load_pandas().data["co2"]


@pytest.fixture(scope="module")
def weather():
    path = fetch(_WEATHER) / "vega_datasets/_data/seattle-weather.csv"
    return pd.read_csv(path, parse_dates=["date"]).set_index("date")["temp_max"]


def scores(series, train_end, begin, end, season, horizon):
    """The naive forecasts' errors, window by window, in z-scores of the training part."""
    z = (series - series[:train_end].mean()) / series[:train_end].std(ddof=0)
    truth, filled = z.to_numpy(), z.ffill().to_numpy()
    scale = np.nanmean(np.abs(truth[season:train_end] - truth[: train_end - season]))
    said = {"seasonal_naive": [], "repeat_last": [], "mean": []}
    for t in range(begin, end - horizon + 1):
        for h in range(horizon):
            if not np.isnan(truth[t + h]):
                said["seasonal_naive"].append((truth[t + h], filled[t + h - season]))
                said["repeat_last"].append((truth[t + h], filled[t - 1]))
                said["mean"].append((truth[t + h], 0.0))
    return {
        name: figures(*np.array(pairs).T, scale, series[:train_end]) for name, pairs in said.items()
    }


def figures(y, f, scale, train):
    """Every figure of forecasts f of y, both z-scores of a training part."""
    e = y - f
    own_y, own_f = (z * train.std(ddof=0) + train.mean() for z in (y, f))
    return {
        "mse": np.mean(e**2),
        "mae": np.mean(np.abs(e)),
        "mase": np.mean(np.abs(e)) / scale,
        "smape": 200 * np.mean(np.abs(own_y - own_f) / (np.abs(own_y) + np.abs(own_f))),
        "rse": np.sqrt(np.sum(e**2) / np.sum((y - y.mean()) ** 2)),
        "corr": np.corrcoef(y, f)[0, 1] if np.ptp(f) else 0.0,
    }


def test_co2_has_the_rows_gaps_and_split_it_says(co2):
    s = CO2().series
    assert len(co2) == 2284
    assert int(np.isnan(s.scaled_ND).sum()) == int(co2.isna().sum()) == 59
    assert s.ends == (1553, 1919, 2284)
    assert [co2.index[i].year for i in (1552, 1553, 1918, 1919)] == [1987, 1988, 1994, 1995]
    assert len(CO2().data("train", 0)) == 1553 - 52 - 26 + 1
    assert len(CO2().data("valid", 0)) == 366 - 26 + 1
    assert len(CO2().data("test", 0)) == 365 - 26 + 1


@pytest.mark.parametrize(("split", "begin", "end"), [("valid", 1553, 1919), ("test", 1919, 2284)])
def test_co2_baselines_equal_those_computed_with_pandas(co2, split, begin, end):
    want = scores(co2, 1553, begin, end, season=52, horizon=26)
    found = CO2().baselines(split)
    for name in want:
        assert found[name] == pytest.approx(want[name], rel=1e-4, abs=1e-5)


def test_weather_is_split_by_whole_years(weather):
    task = SeattleWeather()
    assert task.series.ends == (731, 1096, 1461)
    assert [weather.index[i].year for i in (730, 731, 1095, 1096)] == [2013, 2014, 2014, 2015]
    assert len(task.data("train", 0)) == 731 - 14 - 7 + 1
    assert len(task.data("test", 0)) == 365 - 7 + 1
    assert task.kind is Kind.UNALIGNED
    assert task.source.width == 6
    assert SeattleWeather(calendar=False).source.width == 4


@pytest.mark.parametrize(("split", "begin", "end"), [("valid", 731, 1096), ("test", 1096, 1461)])
def test_weather_baselines_equal_those_computed_with_pandas(weather, split, begin, end):
    want = scores(weather, 731, begin, end, season=365, horizon=7)
    found = SeattleWeather().baselines(split)
    for name in want:
        assert found[name] == pytest.approx(want[name], rel=1e-4, abs=1e-5)


def test_the_target_column_is_the_one_that_is_asked_for(weather):
    wind, temperature = (
        SeattleWeather(target_column=c, centre="none")
        .data("test", 0)
        .batch(np.array([1200]), None)
        .y[0, :, 0]
        for c in ("wind", "temp_max")
    )
    z = (weather - weather[:731].mean()) / weather[:731].std(ddof=0)
    assert temperature.tolist() == pytest.approx(z[1200:1207].tolist(), rel=1e-4)
    assert wind.tolist() != pytest.approx(temperature.tolist())


def test_test_windows_may_read_before_their_split_but_never_their_targets():
    data = CO2(centre="none", calendar=False).data("test", 0)
    b = data.batch(np.array([1919]), None)
    series = data.series
    assert b.x[0, :, 0].tolist() == series.inputs_NI[1919 - 52 : 1919, 0].tolist()
