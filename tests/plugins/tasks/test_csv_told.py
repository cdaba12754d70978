"""Commands on a user's table say how it is read, before anything is trained."""

import pytest
from click.testing import CliRunner
from plugins.tasks.csv_tables import days, shops

from rnnbench.cli import main


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.delenv("RNNBENCH_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def call(*arguments):
    done = CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)
    return done.exit_code, done.output


SHOPS = (
    *("task.path=shops.csv", "task.series_column=shop", "task.targets=[sales]"),
    *("task.covariates=[visitors]", "task.ahead=[holiday]", "task.context=14", "task.horizon=7"),
    *("architecture.hidden=4",),
)
TOLD = (
    *("targets      sales", "covariates   visitors", "known ahead  holiday"),
    *("time         date, without a time zone", "series       2 by shop: north, south"),
    *("not read     note", "validation   from 2020-05-20 on, after 140 steps of north"),
)


def test_check_and_every_run_say_what_is_read_as_what(tmp_path):
    (tmp_path / "shops.csv").write_text(shops())
    run = ("run", "csv-forecast", "gru", *SHOPS, "budget.steps=1", "-q", "--out", "results")
    for command in (("check", "csv-forecast", "gru", *SHOPS), run, run):
        code, said = call(*command)
        assert code == 0, said
        for line in TOLD:
            assert line in said
    assert "finished before" in said


def test_check_says_it_before_it_refuses(tmp_path):
    (tmp_path / "x.csv").write_text(days())
    settings = ("task.path=x.csv", "task.context=4", "task.horizon=40")
    code, said = call("check", "csv-forecast", "lstm", *settings)
    assert code == 2
    assert said.index("targets      v") < said.index("too few for")


def test_a_sweep_says_it_before_its_first_trial(tmp_path):
    (tmp_path / "shops.csv").write_text(shops())
    (tmp_path / "sweep.yaml").write_text(
        "name: shops\n"
        "tasks: [{name: csv-forecast, path: shops.csv, series_column: shop, targets: [sales],\n"
        "  covariates: [visitors], ahead: [holiday], context: 14, horizon: 7}]\n"
        "architectures: [dlinear]\ntricks: [[zoneout]]\n"  # refused, so that no trial takes time
        "search: {trials: 1, sampler: random}\nfinal: {seeds: [1]}\n"
    )
    _, said = call("sweep", "sweep.yaml", "--out", "results")
    assert "zoneout acts on a recurrent cell" in said
    for line in TOLD:
        assert line in said


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ("zone: Berlin", "sweep.yaml:2: there is no time zone 'Berlin'; did you mean Europe/Ber"),
        ("zone: '9'", "sweep.yaml:2: there is no time zone '9'"),
        ("horizont: 9", "sweep.yaml:2: task csv-forecast has no field"),
    ],
)
def test_a_sweep_refuses_what_a_table_cannot_be_read_by(tmp_path, settings, why):
    (tmp_path / "x.csv").write_text(days())
    (tmp_path / "sweep.yaml").write_text(
        f"name: x\ntasks: [{{name: csv-forecast, path: x.csv, {settings}}}]\n"
        "architectures: [gru]\nsearch: {trials: 1}\nfinal: {seeds: [1]}\n"
    )
    code, said = call("sweep", "sweep.yaml", "--out", "results")
    assert code == 2
    assert why in said.replace("\n", " ")


def test_an_input_that_is_no_text_is_refused_in_words(tmp_path):
    (tmp_path / "x.csv").write_text(days())
    settings = ("task.path=x.csv", "task.context=4", "task.horizon=2", "architecture.hidden=4")
    call("run", "csv-forecast", "gru", *settings, "budget.steps=1", "-q", "--out", "results")
    (tmp_path / "tail.csv").write_bytes(b"date,caf\xe9\n")
    code, said = call("predict", "csv-forecast", "--input", "tail.csv", "--out", "results")
    assert code != 0
    assert "--input tail.csv: byte 8 is not UTF-8" in said
    (tmp_path / "tail.csv").write_text("\ufeff" + days(9), "utf-8")
    code, said = call("predict", "csv-forecast", "--input", "tail.csv", "--out", "results")
    assert said.splitlines()[-2].startswith("2020-01-10 00:00:00,")
