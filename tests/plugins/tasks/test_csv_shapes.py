"""Tables of many shapes: repeated times, no header, kinds, folders, frames, and their answers."""

import gzip
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
import torch
from plugins.tasks.csv_tables import days, made

from rnnbench.contract import Batch
from rnnbench.data import DataError, frame_file, own_files
from rnnbench.data.series.table_files import read_tables
from rnnbench.data.series.tables import TableFormat
from rnnbench.spec.instantiate import create
from rnnbench.spec.run_spec import PluginSpec
from rnnbench.training.wiring import wire
from rnnbench_architectures.gru import GRU
from rnnbench_architectures.seasonal_naive import SeasonalNaive
from rnnbench_tasks.csv_forecast import CSVForecast

SMALL = {"context": 4, "horizon": 2}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("RNNBENCH_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def first_values(task, n):
    return (task.series.target_NV * task.series.std_PD[0, 0] + task.series.mean_PD[0, 0])[:n, 0]


AGAIN = "2020-01-03 00:00:00"
REPEATED = days(60).replace(f"{AGAIN},2\n", f"{AGAIN},2\n{AGAIN},8\n{AGAIN},\n")


def test_rows_of_one_time_are_refused_with_the_setting_that_helps(tmp_path):
    with pytest.raises(DataError, match=r"line 5: .* set task\.duplicates=first or mean"):
        _ = made(tmp_path, REPEATED, **SMALL).series


@pytest.mark.parametrize(("how", "value"), [("first", 2.0), ("mean", 5.0)])
def test_rows_of_one_time_become_one_by_the_rule_that_is_set(tmp_path, how, value):
    task = made(tmp_path, REPEATED, duplicates=how, **SMALL)
    assert first_values(task, 4) == pytest.approx([0, 1, value, 3], abs=1e-4)
    assert f"2 rows went into others of their time ({how})" in task.what_is_read()


def test_a_table_without_a_header_is_read_by_the_places_of_its_columns(tmp_path):
    text = days(60).split("\n", 1)[1]
    with pytest.raises(DataError, match=r"Set task\.header=false, and the columns are c1, c2"):
        _ = made(tmp_path, text, **SMALL).series
    task = made(tmp_path, text, "bare.csv", header=False, **SMALL)
    assert len(task.series.scaled_ND) == 60
    assert task.series.columns == ("c2",)
    answers = task.ask_rows(text)
    lines = answers.read(torch.zeros(1, 2, 1), None).splitlines()
    assert [line.split(",")[0] for line in lines] == ["2020-03-01 00:00:00", "2020-03-02 00:00:00"]


def test_a_packed_table_is_that_table(tmp_path):
    packed = made(tmp_path, gzip.compress(days().encode()), "t.csv.gz", **SMALL)
    assert np.array_equal(packed.series.scaled_ND, made(tmp_path, days(), **SMALL).series.scaled_ND)


def weather(n=80, words=("sun", "rain", "")):
    rows = [f"{datetime(2020, 1, 1) + timedelta(days=i)},{i % 7},{words[i % 3]}" for i in range(n)]
    return "\n".join(["date,v,sky", *rows]) + "\n"


def test_words_are_refused_as_numbers_and_led_to_categories(tmp_path):
    with pytest.raises(DataError, match=r"names kinds, task\.categories=sky"):
        _ = made(tmp_path, weather(), **SMALL).series


def test_a_column_of_words_is_a_learnt_vector_for_each_word(tmp_path):
    task = made(tmp_path, weather(), categories=("sky",), **SMALL)
    assert task.series.columns == ("v",)
    assert task.source.width == 3
    known_N2 = task.series.inputs_NI[:4, 1:]  # rain, sun; a missing word is the one before it
    assert known_N2.tolist() == [[0, 1], [1, 0], [1, 0], [0, 1]]
    model = wire(GRU(hidden=4), task)
    rows = [model(Batch(task.data("train", 0).batch(np.array([5]), None).x.clone(),
                        torch.zeros(1, 2, 1))).out]  # fmt: skip
    assert rows[0].shape == (1, 2, 1)
    assert "sky: rain, sun" in task.what_is_read()


def test_a_word_that_training_did_not_have_is_none_of_its_words_and_that_is_said(tmp_path):
    task = made(tmp_path, weather(), categories=("sky",), **SMALL)
    answers = task.ask_rows(weather(8, ("fog", "sun", "rain")))
    assert answers.batch.x[0, :, 1:].sum(-1).tolist() == [1, 1, 0, 1]
    assert "'sky' has kinds that training did not have" in answers.notes[0]


def test_a_column_with_a_kind_a_row_is_no_category(tmp_path):
    words = tuple(f"w{i}" for i in range(300))
    rows = "\n".join(f"{datetime(2020, 1, 1) + timedelta(days=i)},{i % 7},{words[i]}"
                     for i in range(300))  # fmt: skip
    with pytest.raises(DataError, match="has 300 kinds, and 200 are the most"):
        _ = made(tmp_path, "date,v,id_of_row\n" + rows, categories=("id_of_row",), **SMALL).series


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "shops"
    place.mkdir()
    for k, name in enumerate(("berlin", "kiel")):
        (place / f"{name}.csv").write_text(days(60 + 10 * k, f"{{i}}{k}"))
    return place


@pytest.mark.parametrize("path", ["shops", "shops/*.csv", "sh*/**/*.csv"])
def test_each_file_of_a_folder_or_pattern_is_a_series(folder, tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    task = CSVForecast(path=path, **SMALL)
    assert task.series.names == ("berlin", "kiel")
    assert (task.series.ends_P3[:, 2]).tolist() == [60, 130]
    assert "2 by file: berlin, kiel" in task.what_is_read()


def test_files_are_parts_of_one_table_where_a_column_tells_series_apart(tmp_path):
    place = tmp_path / "years"
    place.mkdir()
    whole = days(60, "{i},a", "date,v,s").splitlines()
    (place / "1.csv").write_text("\n".join(whole[:31]) + "\n")
    (place / "2.csv").write_text("\n".join([whole[0], *whole[31:]]) + "\n")
    task = CSVForecast(path=str(place), series_column="s", **SMALL)
    assert (task.series.names, len(task.series.scaled_ND)) == (("a",), 60)


def test_a_file_of_other_columns_is_named(folder):
    (folder / "rome.csv").write_text(days(60, header="date,other"))
    with pytest.raises(DataError, match=r"rome\.csv has no column 'v'(.|\n)*as the first file"):
        _ = CSVForecast(path=str(folder), **SMALL).series


def test_kinds_of_several_files_have_one_numbering(tmp_path):
    place = tmp_path / "sky"
    place.mkdir()
    (place / "a.csv").write_text(weather(9, ("sun", "rain", "sun")))
    (place / "b.csv").write_text(weather(9, ("fog", "rain", "sun")))
    table = read_tables(place, ["a.csv", "b.csv"], TableFormat(kinds=("sky",)))
    assert table.kinds == {"sky": ("fog", "rain", "sun")}
    assert table.values_ND[[0, 1, 9, 10], 1].tolist() == [3, 2, 1, 2]


def test_names_and_content_of_a_folder_are_what_it_is_known_by(folder, tmp_path):
    source = own_files(str(folder), "path")
    assert sorted(source.files) == ["berlin.csv", "kiel.csv"]
    with pytest.raises(DataError, match="no file has such a name"):
        own_files(str(tmp_path / "*.txt"), "path")


SHOPS = {"series_column": "s", "context": 4, "horizon": 2}


def shops(n=60, names="ab", begin=0):
    rows = [f"{datetime(2020, 1, 1) + timedelta(days=begin + i)},{s},{i % 7 + 10 * k}"
            for k, s in enumerate(names) for i in range(n)]  # fmt: skip
    return "\n".join(["date,s,v", *rows]) + "\n"


def test_all_series_of_an_input_are_answered(tmp_path):
    task = made(tmp_path, shops(), **SHOPS)
    answers = task.ask_rows(shops(6, "ba", begin=60))
    assert answers.batch.x.shape[0] == 2
    lines = answers.read(torch.zeros(2, 2, 1), None).splitlines()
    assert lines == ["date,s,v", "2020-03-07 00:00:00,b,5", "2020-03-08 00:00:00,b,5",
                     "2020-03-07 00:00:00,a,15", "2020-03-08 00:00:00,a,15"]  # fmt: skip


def test_a_series_that_training_did_not_have_is_scaled_by_its_own_rows_and_that_is_said(tmp_path):
    task = made(tmp_path, shops(), **SHOPS)
    answers = task.ask_rows(shops(8, "z", begin=60))
    assert "training did not have the series 'z'" in answers.notes[0]
    last = answers.read(torch.zeros(1, 2, 1), None).splitlines()[1]
    assert float(last.rpartition(",")[2]) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="is the same in all 4 of them"):
        task.ask_rows("date,s,v\n" + "\n".join(f"2020-04-0{i},z,3" for i in range(1, 5)))


def test_distributions_are_answered_with_quantiles(tmp_path):
    task = made(tmp_path, days(), output="quantiles", **SMALL)
    out = torch.zeros(1, 2, task.target.outputs)
    header, first, _ = task.ask_rows(days()).read(torch.zeros(1, 2, 1), out).splitlines()
    assert header == "date,v,v 5%,v 10%,v 90%,v 95%"
    point, *levels = map(float, first.split(",")[1:])
    assert sorted([point, *levels]) == [levels[0], levels[1], point, levels[2], levels[3]]


def test_the_season_of_metrics_is_that_of_the_seasonal_naive_forecast(tmp_path):
    task = made(tmp_path, days(), context=14, horizon=2)  # days, of which a week is the season
    assert task.season == 0
    assert (task.period, task.series.season) == (7, 7)
    assert wire(SeasonalNaive(), task).season == 7


def test_a_frame_of_pandas_is_read_as_a_file_of_its_content_is(tmp_path):
    index = pd.date_range("2024-01-01", periods=60, freq="h", tz="Europe/Berlin")
    frame = pd.DataFrame({"load": np.arange(60.0)}, index=index)
    path = frame_file(frame, "power", tmp_path)
    assert path == frame_file(frame.copy(), "power", tmp_path)
    assert path.name.startswith("power-")
    task = CSVForecast(path=str(path), **SMALL)
    assert task.series.columns == ("load",)
    assert str(task.step) == "1 hour"
    assert frame_file(frame, "power").is_relative_to(tmp_path / "cache")


def test_a_frame_of_polars_is_written_by_its_own_means(tmp_path):
    class Frame:  # as polars has it, which is not installed here
        height = 60
        columns = ("date", "v")

        def write_csv(self):
            return days(60)

    assert frame_file(Frame(), folder=tmp_path).read_text() == days(60)


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        ([1, 2], "a table is a DataFrame of pandas or polars, got list"),
        (pd.DataFrame({"v": []}), "has no rows"),
        (pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])), "several levels"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, frame, told):
    with pytest.raises(DataError, match=told):
        frame_file(frame, folder=tmp_path)


def test_the_new_settings_leave_the_runs_that_there_are_as_they_were():
    spec = PluginSpec("csv-forecast", 2, (("path", CSVForecast.tiny["path"]),))
    assert create("tasks", spec).duplicates == "error"


def test_an_input_names_the_file_that_its_series_was_in_training(folder):
    task = CSVForecast(path=str(folder), **SMALL)
    named = days(6, "{i},kiel", "date,v,series")
    answers = task.ask_rows(named)
    assert answers.notes == ()
    assert answers.read(torch.zeros(1, 2, 1), None).splitlines()[1].split(",")[1] == "kiel"
    assert "name it in a column 'series'" in task.ask_rows(days(6)).notes[0]


def test_a_headerless_table_with_another_delimiter_is_told_both_settings(tmp_path):
    text = "".join(f"{1950 + i // 4}Q{i % 4 + 1};{i},5\n" for i in range(80))
    with pytest.raises(DataError, match=r"Set task\.header=false and task\.delimiter=';'"):
        _ = made(tmp_path, text, decimal=",", **SMALL).series
