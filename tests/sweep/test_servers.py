"""Sweeps whose ledger is in PostgreSQL or MariaDB (MySQL's protocol), on real servers."""

import os
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from support import TESTS
from support.database_servers import MariaDB, PostgreSQL, open_server
from support.fake_work import FAKE_PLUGINS, make_engine, starts
from support.small_sweeps import RUNS, SWEEP, Notes

from rnnbench.results.database import open_database
from rnnbench.results.store import Store
from rnnbench.sweep.file.sweep import parse_sweep
from rnnbench.sweep.ledger.ledger import Ledger, SweepBusyError, TrialRow
from rnnbench.sweep.ledger.process_identity import identity
from rnnbench.sweep.run_sweep import LostStorageError, run_sweep
from rnnbench.sweep.search import named_storage
from rnnbench.sweep.search.named_storage import NamedStorageCopies
from rnnbench.sweep.search.optuna_export import StudyStorageError

SCRIPT = TESTS / "support" / "fake_work.py"
ME = identity(os.getpid())


def servers(*params):
    return pytest.mark.parametrize("server", params, indirect=True, scope="module",
                                   ids=["postgresql", "mariadb"])  # fmt: skip


BOTH = servers(PostgreSQL, MariaDB)
FIRST = servers(PostgreSQL, pytest.param(MariaDB, marks=pytest.mark.slow))


@pytest.fixture(scope="module")
def server(request):
    server = open_server(request.param)
    yield server
    server.close()


@pytest.fixture
def url(server):
    server.count = getattr(server, "count", 0) + 1
    return server.fresh(f"rnnbench{server.count}")


def run(text, root, url, **options):
    options = {"lease": 2.0, "beat": 0.2, "engine_factory": make_engine(root), **options}
    return run_sweep(parse_sweep(text), root=root, plugins=FAKE_PLUGINS, database=url, **options)


def rows_of(url):
    engine = open_database(url)
    try:
        return Ledger(engine, "sweep", ME).rows()
    finally:
        engine.dispose()


def ended_trial(number):
    trial = create_trial(
        state=TrialState.COMPLETE,
        value=float(number),
        params={"x": 0.5},
        distributions={"x": FloatDistribution(0.0, 1.0)},
    )
    trial.number = number
    return trial


@BOTH
def test_a_sweep_runs_once_and_its_results_are_in_the_database(tmp_path, url):
    assert run(SWEEP, tmp_path, url).complete
    assert not (tmp_path / "results.db").exists()
    assert len(starts(tmp_path)) == RUNS
    again = run(SWEEP, tmp_path, url)
    assert (again.ran, again.complete) == (0, True)
    with closing(Store(tmp_path, url)) as store:
        assert sum(1 for _ in store.records()) == RUNS
        assert store.reindex() == RUNS


@FIRST
def test_configurations_are_those_of_sqlite(tmp_path, url):
    from support.small_sweeps import params_of
    from support.small_sweeps import run as run_on_sqlite

    run(SWEEP, tmp_path, url)
    (tmp_path / "sqlite").mkdir()
    run_on_sqlite(SWEEP, tmp_path / "sqlite")
    assert {r.key: r.params for r in rows_of(url)} == params_of(tmp_path / "sqlite")


@FIRST
def test_a_driver_killed_on_the_way_goes_on(tmp_path, url):
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(SWEEP)
    for step in ("planned", "claimed", "finished", "committed"):
        subprocess.run(
            [sys.executable, SCRIPT, sweep, tmp_path, step, "2"],
            env={**os.environ, "RNNBENCH_DATABASE": url}, capture_output=True,
        )  # fmt: skip
    assert run(SWEEP, tmp_path, url).complete
    rows = rows_of(url)
    assert len(rows) == len({r.run_id for r in rows}) == RUNS
    assert all(r.ended for r in rows)
    assert len(starts(tmp_path)) <= RUNS + 2 * 4


@BOTH
def test_a_trial_is_claimed_by_one_of_sixteen(url):
    engine = open_database(url)
    owner = Ledger(engine, "sweep", ME)
    with owner.driving():
        for number in range(5):
            row = TrialRow(
                f"sweep/c/{number}", "sweep", "c", "search", number, "{}", f"run-{number}"
            )
            owner.plan([row])
            barrier, claimed = threading.Barrier(16), []

            def claim(key=row.key, barrier=barrier, claimed=claimed):
                row_here = next(r for r in Ledger(engine, "sweep", ME).rows() if r.key == key)
                barrier.wait()
                if Ledger(engine, "sweep", ME).claim(row_here, ME):
                    claimed.append(row_here)

            threads = [threading.Thread(target=claim) for _ in range(16)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(claimed) == 1
            assert not owner.finish(row, state="done", status="done", value=1.0)  # not its attempt
            assert owner.finish(claimed[0], state="done", status="done", value=1.0)
    engine.dispose()


@FIRST
def test_a_second_driver_is_told_who_holds_the_sweep(url):
    engine = open_database(url)
    first, second = Ledger(engine, "sweep", ME), Ledger(engine, "sweep", "other-1-2:3:4")
    with first.driving(), pytest.raises(SweepBusyError, match="is being run by"):
        second.driving().__enter__()
    engine.dispose()


@FIRST
def test_studies_can_be_copied_to_the_same_server(tmp_path, url):
    run(SWEEP, tmp_path, url, studies=url)  # the same address is taken in both places
    driver = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
    kind, _, rest = url.partition("://")
    storage = optuna.storages.RDBStorage(f"{driver[kind]}://{rest}")
    try:
        names = optuna.get_all_study_names(storage)
        assert len(names) == 4
        study = optuna.load_study(study_name=names[0], storage=storage)
        assert len(study.trials) == 3
        assert all(t.user_attrs["run_id"] for t in study.trials)
    finally:
        storage.remove_session()
        storage.engine.dispose()


@FIRST
def test_studies_are_copied_when_their_server_is_back(url, server, monkeypatch):
    monkeypatch.setattr(named_storage, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(named_storage, "EVERY_SECONDS", 0.0)
    notes = []
    copies = NamedStorageCopies(url, notes.append)
    copies.open("study", [StudyDirection.MINIMIZE])
    copies.add("study", ended_trial(0), "run-0")
    server.stop()
    try:
        for number in (1, 2):
            copies.add("study", ended_trial(number), f"run-{number}")
        copies.open("another", [StudyDirection.MINIMIZE])
        (note,) = notes
        assert "does not answer" in note
        assert "the sweep goes on" in note
        assert "sesame" not in note
    finally:
        server.start()
    copies.add("study", ended_trial(3), "run-3")
    copies.add("another", ended_trial(0), "run-4")
    copies.close()
    assert "answers again" in notes[1]
    assert len(notes) == 2
    read = NamedStorageCopies(url, notes.append)
    trials = optuna.load_study(study_name="study", storage=read._storage).trials
    assert [t.user_attrs["run_id"] for t in trials] == [f"run-{i}" for i in range(4)]
    (other,) = optuna.load_study(study_name="another", storage=read._storage).trials
    assert other.user_attrs["run_id"] == "run-4"
    read.close()


def test_a_sweep_ends_whether_or_not_its_studies_can_be_copied(tmp_path):
    notes = Notes()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        studies = f"postgresql://me:sesame@127.0.0.1:{free.getsockname()[1]}/none"
    outcome = run(SWEEP, tmp_path, None, studies=studies, progress=notes)
    assert outcome.complete
    texts = [n for n in notes.notes if "Optuna storage" in n]
    assert "does not answer" in texts[0]
    assert re.match(r"\d+ trials were not copied", texts[-1])
    assert not any("sesame" in text for text in notes.notes)


def test_what_is_no_address_of_a_storage_is_refused_with_one_that_is():
    with pytest.raises(StudyStorageError, match="--studies postgresql://host/name"):
        NamedStorageCopies("nonsense")


@FIRST
def test_a_server_that_is_restarted_ends_no_sweep_and_the_wait_is_told_once(tmp_path, url, server):
    slow = SWEEP.replace("[easy]", "[{name: easy, seconds: 0.2}]")
    notes = Notes()

    def restart():
        while len(starts(tmp_path)) < 5:
            time.sleep(0.05)
        server.stop()
        time.sleep(1.0)  # with the start of the server, three seconds
        server.start()

    restarter = threading.Thread(target=restart)
    restarter.start()
    try:
        outcome = run(slow, tmp_path, url, progress=notes, lease=60.0)
    finally:
        restarter.join()
    assert outcome.complete
    assert len(starts(tmp_path)) == RUNS
    told = [n for n in notes.notes if "database" in n]
    assert len(told) == 2, told
    assert "does not answer" in told[0]
    assert "waiting for it, for 60 s at most" in told[0]
    assert "answers again" in told[1]
    assert "sesame" not in told[0]


@FIRST
def test_a_server_that_goes_away_is_named_without_its_password_and_nothing_is_lost(
    tmp_path, url, server
):
    slow = SWEEP.replace("[easy]", "[{name: easy, seconds: 0.2}]")

    def stop():
        while len(starts(tmp_path)) < 5:
            time.sleep(0.05)
        server.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    try:
        with pytest.raises(LostStorageError) as lost:
            run(slow, tmp_path, url)
    finally:
        stopper.join()
        server.start()
    assert "the same command goes on from here" in str(lost.value)
    assert "sesame" not in str(lost.value)
    done = {r.key: r.value for r in rows_of(url) if r.ended}
    outcome = run(slow, tmp_path, url)
    assert outcome.complete
    assert done.items() <= {r.key: r.value for r in rows_of(url)}.items()
    counts = len({run_id for run_id, _, _ in starts(tmp_path)})
    assert counts == RUNS


def test_a_missing_driver_of_a_database_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymysql", None)
    with pytest.raises(ValueError, match=r"pip install 'rnnbench\[mysql\]'"):
        open_database("mysql://host/name")
