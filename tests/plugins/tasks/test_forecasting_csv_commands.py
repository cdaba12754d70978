"""`csv-forecast` from the command line: run, predict and check."""

from datetime import datetime, timedelta

import pytest
from click.testing import CliRunner
from plugins.tasks.csv_tables import days, shops

from rnnbench.cli import main


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("RNNBENCH_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def call(*arguments):
    done = CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)
    return done.exit_code, done.output


@pytest.fixture
def trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shops.csv").write_text(shops())
    settings = [
        *("task.path=shops.csv", "task.series_column=shop", "task.targets=[sales]"),
        *("task.covariates=[visitors]", "task.ahead=[holiday]", "task.calendar=[weekday]"),
        *("task.context=14", "task.horizon=7", "architecture.hidden=4", "budget.steps=2"),
        *("budget.validate_every=1", "--no-test", "--out", "results"),
    ]
    code, said = call("run", "csv-forecast", "gru", *settings)
    assert code == 0, said
    return tmp_path


def tail(shop="south", rows=14, future=7, last="2020-07-18"):
    lines = ["date,shop,sales,visitors,holiday,note"]
    first = datetime.fromisoformat(last) - timedelta(days=rows - 1)
    for i in range(rows + future):
        given = f"{50 + i},150" if i < rows else ","
        lines.append(f"{(first + timedelta(days=i)).date()},{shop},{given},0,")
    return "\n".join(lines)


def test_a_run_forecasts_what_follows_the_tail_of_a_table(trained):
    (trained / "tail.csv").write_text(tail())
    code, said = call("predict", "csv-forecast", "--input", "tail.csv", "--out", "results")
    assert code == 0, said
    header, *rows = said.strip().splitlines()
    assert header == "date,shop,sales"
    assert [row.split(",")[0] for row in rows] == [f"2020-07-{d}" for d in range(19, 26)]
    values = [float(row.split(",")[2]) for row in rows]
    assert all(20 < v < 110 for v in values)  # in the unit of the shop, not z-scores


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (tail(shop="west"), "not trained on a series 'west'"),
        (
            tail(rows=9),
            "reads 21 steps of 1 day, the last 7 of them of the horizon; the input has 16",
        ),
        (tail() + "\n2020-07-25,south,1,2,0,", "is that of line"),
        (tail() + "\n2020-07-26 05:00,south,1,2,0,", "not a whole number of steps"),
        (tail() + "\n2020-07-26,north,1,2,0,", "the input has 1 of series 'north'"),
        (tail().replace("visitors", "guests"), "no column 'visitors'"),
        (
            tail().replace("58,150", "58,many"),
            "line 10, column 'visitors': 'many' is no number; write it as in the task's own file, "
            "or leave it empty where it is missing",
        ),
    ],
)
def test_a_tail_that_cannot_be_read_is_refused_with_the_reason(trained, text, why):
    code, said = call("predict", "csv-forecast", "--input", text, "--out", "results")
    assert code != 0
    assert why in " ".join(said.split())


def without_values(text, lines):
    """Return a table whose targets are missing in some of its lines (the header is 0)."""
    rows = text.splitlines()
    for i in lines:
        date, shop, _, rest = rows[i].split(",", 3)
        rows[i] = f"{date},{shop},,{rest}"
    return "\n".join(rows)


def test_a_tail_without_any_value_of_the_target_is_refused(trained):
    text = without_values(tail(), range(1, 15))
    code, said = call("predict", "csv-forecast", "--input", text, "--out", "results")
    assert code != 0
    assert "the input has no value of sales in its 14 rows" in " ".join(said.split())


def test_a_value_before_what_a_model_reads_fills_a_tail_that_lost_its_own(trained):
    text = without_values(tail(rows=18), range(3, 19))
    same = tail(rows=18).splitlines()
    for i in range(3, 19):
        same[i] = without_values("\n".join(same), [i]).splitlines()[i].replace(",,", ",51,", 1)
    answers = [
        call("predict", "csv-forecast", "--input", t, "--out", "results")
        for t in (text, "\n".join(same))
    ]
    assert answers[0][0] == 0, answers[0][1]
    assert answers[0] == answers[1]


def test_a_broken_table_is_refused_by_check_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("date,v\n2020-01-01,1\n2020-01-02,2,3\n")
    code, said = call("check", "csv-forecast", "lstm", "task.path=x.csv")
    assert code != 0
    assert "line 3: 3 cells" in said


def test_a_horizon_beyond_the_table_is_the_user_s_to_mend(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text(days())
    settings = ("task.path=x.csv", "task.context=4", "task.horizon=40")
    code, said = call("check", "csv-forecast", "lstm", *settings)
    assert code == 2
    assert "too few for a context of 4 and a horizon of 40: make them smaller" in said
    assert "Traceback" not in said
