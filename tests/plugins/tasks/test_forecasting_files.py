"""ETT, the Monash archive and sunspots, against published figures and files of the same form."""

import json

import numpy as np
import pandas as pd
import pytest

from rnnbench.data import DataError, fetch, status
from rnnbench.data.fetching.sources import roots
from rnnbench.testing import TaskLaws
from rnnbench_tasks._tsf import read_tsf
from rnnbench_tasks.ett_h1 import ETTh1
from rnnbench_tasks.ett_h2 import ETTh2
from rnnbench_tasks.ett_m1 import ETTm1
from rnnbench_tasks.ett_m2 import ETTm2
from rnnbench_tasks.monash import Monash
from rnnbench_tasks.sunspots import Sunspots


def here(task):
    """Whether a task's files are on this machine, under any folder of a mirror."""
    (source,) = task.sources()
    found = any(
        all(any(root.glob(f"*/{name}")) for name in source.files) for root in roots().values()
    )
    return found or status(source).state == "present"


def needs(task):
    missing = not here(task)
    return pytest.mark.skipif(missing, reason=f"{task.sources()[0].name} is not here: "
                              f"rnnbench data fetch {task.name}")  # fmt: skip


ett = needs(ETTh1())
TOURISM, SAUGEEN = Monash(dataset="tourism-monthly"), Monash(dataset="saugeen")


class TestSunspots(TaskLaws):
    tiny = Sunspots()


@ett
class TestETTh1(TaskLaws):
    tiny = ETTh1(horizon=24, stride=12)


@needs(TOURISM)
class TestMonash(TaskLaws):
    tiny = TOURISM


# ------------------------------------------------------------------------------------- sunspots


def test_sunspots_are_split_by_years():
    s = Sunspots().series
    assert s.ends == (200, 250, 309)
    assert len(Sunspots().data("test", 0)) == 59 - 11 + 1
    (source,) = Sunspots().sources()
    table = pd.read_csv(fetch(source) / next(iter(source.files)))
    assert table["YEAR"][[0, 200, 250, 308]].tolist() == [1700, 1900, 1950, 2008]
    z = (table["SUNACTIVITY"] - table["SUNACTIVITY"][:200].mean()) / table["SUNACTIVITY"][:200].std(
        ddof=0
    )
    errors = [z[t : t + 11].to_numpy() - z[t - 11 : t].to_numpy() for t in range(250, 299)]
    found = Sunspots().baselines("test")["seasonal_naive"]
    assert found["mse"] == pytest.approx(np.mean(np.square(errors)), rel=1e-5)


# ------------------------------------------------------------------------------------------ ETT

REPEAT_LAST = {  # horizon: the full test, and with the last batch of 32 dropped
    96: (1.294, 1.295),
    192: (1.325, 1.325),
    336: (1.330, 1.323),
    720: (1.335, 1.339),
}
SEASONAL = {96: (0.512, 0.433), 192: (0.581, 0.469), 336: (0.650, 0.501), 720: (0.655, 0.514)}


@ett
@pytest.mark.parametrize("horizon", REPEAT_LAST)
@pytest.mark.parametrize("legacy", [False, True])
def test_repeating_the_last_value_of_etth1_has_the_published_error(horizon, legacy):
    found = ETTh1(horizon=horizon, legacy_drop_last=legacy).baselines("test")
    assert round(found["repeat_last"]["mse"], 3) == REPEAT_LAST[horizon][legacy]


@ett
@pytest.mark.parametrize("horizon", SEASONAL)
def test_repeating_the_last_day_of_etth1_has_the_known_error(horizon):
    found = ETTh1(horizon=horizon).baselines("test")["seasonal_naive"]
    assert (round(found["mse"], 3), round(found["mae"], 3)) == SEASONAL[horizon]


@ett
@pytest.mark.parametrize(
    ("task", "a_day"), [(ETTh1(), 24), (ETTh2(), 24), (ETTm1(), 96), (ETTm2(), 96)]
)
def test_ett_has_the_papers_borders_and_windows(task, a_day):
    s = task.series
    assert s.ends == (360 * a_day, 480 * a_day, 600 * a_day)
    assert len(task.data("train", 0)) == 360 * a_day - 96 - 96 + 1
    assert len(task.data("valid", 0)) == len(task.data("test", 0)) == 120 * a_day - 96 + 1
    assert s.scaled_ND[: s.ends[0]].mean(0) == pytest.approx(np.zeros(7), abs=1e-3)
    assert s.scaled_ND[: s.ends[0]].std(0) == pytest.approx(np.ones(7), abs=1e-3)
    batch = task.data("test", 0).batch(np.array([s.ends[1]]), None)
    table = pd.read_csv(fetch(task.sources()[0]) / task.file)
    train = table.iloc[: s.ends[0], 1:]
    z = (table.iloc[:, 1:] - train.mean()) / train.std(ddof=0)
    at = s.ends[1]
    assert batch.x[0].numpy() == pytest.approx(z[at - 96 : at].to_numpy(), abs=1e-4)
    assert batch.y[0].numpy() == pytest.approx(z[at : at + 96].to_numpy(), abs=1e-4)


@ett
def test_dropping_the_last_batch_touches_the_test_alone():
    whole, old = ETTh1(), ETTh1(legacy_drop_last=True)
    assert len(whole.data("test", 0)) == 2880 - 96 + 1
    assert len(old.data("test", 0)) == 2784
    for split in ("train", "valid"):
        assert len(old.data(split, 0)) == len(whole.data(split, 0))
    with pytest.raises(ValueError, match="fill no batch of 32"):
        ETTh1(legacy_drop_last=True, stride=2000).data("test", 0)


# --------------------------------------------------------------------------------------- Monash


@needs(TOURISM)
def test_the_seasonal_naive_forecast_of_monthly_tourism_has_the_published_mase():
    """Athanasopoulos et al. (2011), Int. J. Forecasting 27(3), table 5: 1.631."""
    s = TOURISM.series
    assert len(s.names) == 366
    assert TOURISM.window == (15, 24)
    assert [len(TOURISM.data(split, 0)) for split in ("valid", "test")] == [366, 366]
    assert round(TOURISM.baselines("test")["seasonal_naive"]["mase"], 3) == 1.631


@needs(SAUGEEN)
def test_the_last_value_of_the_saugeen_is_as_good_as_the_archives_exponential_smoothing():
    """The archive's table: 1.426 for SES, whose weight is all on the last value here."""
    assert SAUGEEN.window == (9, 30)
    assert round(SAUGEEN.baselines("test")["repeat_last"]["mase"], 3) == 1.426


@pytest.mark.parametrize(
    ("dataset", "rows"), [("sunspot", 73924), ("us-births", 7305), ("saugeen", 23741)]
)
def test_a_set_of_one_series_has_its_length_and_holds_out_thirty_days(dataset, rows):
    task = Monash(dataset=dataset)
    if not here(task):
        pytest.skip(f"{dataset} is not here: rnnbench data fetch monash")
    assert task.series.ends_P3.tolist() == [[rows - 60, rows - 30, rows]]
    assert Monash(dataset=dataset, horizon=7).series.ends_P3[0, 1] == rows - 7


TSF = """# comment \xe9
@relation r
@attribute series_name string
@attribute start_timestamp date
{}@data
"""


def tsf(tmp_path, rows, header="@frequency monthly\n@horizon 3\n"):
    path = tmp_path / "x.tsf"
    path.write_text(TSF.format(header) + rows, encoding="latin-1")
    return path


def test_a_tsf_file_is_read_with_missing_values_and_series_of_unequal_length(tmp_path):
    rows = "T1:1979-01-01 00-00-00:1,?,3.5\nT2:1980-01-01 00-00-00:4,5\n"
    found = read_tsf(tsf(tmp_path, rows))
    assert (found.frequency, found.horizon, found.names) == ("monthly", 3, ("T1", "T2"))
    assert np.isnan(found.series[0][1])
    assert found.series[0][[0, 2]].tolist() == [1, 3.5]
    assert found.series[1].tolist() == [4, 5]
    assert read_tsf(tsf(tmp_path, rows, "@frequency daily\n")).horizon is None


@pytest.mark.parametrize(
    ("rows", "header", "why"),
    [
        ("T1:1979-01-01 00-00-00:1,x\n", "@frequency daily\n", "line 7: could not convert"),
        ("T1:1,2\n", "@frequency daily\n", "line 7: 1 attributes, and 2"),
        ("", "@frequency daily\n", "holds no series"),
        ("T1:1979-01-01 00-00-00:1\n", "", "does not say its @frequency"),
        ("", "T1:1,2\n", "line 5: expected @data"),
    ],
)
def test_a_broken_tsf_file_is_refused_with_its_line(tmp_path, rows, header, why):
    with pytest.raises(DataError, match=why):
        read_tsf(tsf(tmp_path, rows, header))


def test_every_source_says_licence_citation_and_checksums():
    for task in (
        ETTh1(),
        *(Monash(dataset=d) for d in ("sunspot", "us-births", "tourism-monthly")),
    ):
        (source,) = task.sources()
        assert source.licence.startswith("CC BY")
        assert source.citation
        assert all(len(sha) == 64 for sha in source.files.values())
        assert source.origin.endswith("/") or len(source.sha256) == 64
        json.dumps(dict(source.files))
