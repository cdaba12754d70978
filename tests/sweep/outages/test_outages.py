"""Sweeps whose storage, disk or nodes fail under them: nothing of it stands on a board."""

import contextlib
import os
import shutil
import subprocess
import threading
import time
from contextlib import closing

import pytest
import sqlalchemy as sa
from support.command_line import call
from support.fake_work import FAULT, starts
from support.small_sweeps import SWEEP as GRID
from support.small_sweeps import Notes, rows_of
from support.small_sweeps import run as run_sweep

from rnnbench.errors import OutageError
from rnnbench.leaderboard.boards import build
from rnnbench.results import remote
from rnnbench.results.database import open_database
from rnnbench.results.record import Status
from rnnbench.results.store import Store
from rnnbench.sweep import breaker
from rnnbench.sweep.engines.local import LocalEngine
from rnnbench.sweep.engines.protocol import EngineError
from rnnbench.sweep.ledger.tables import trial

SWEEP = GRID.replace("[plain, explodes]", "[plain]").replace("[[], [zoneout]]", "[[]]")
RUNS = 3 + 2
FULL = "raise OSError(28, 'No space left on device')"


@pytest.fixture
def fault(tmp_path, monkeypatch):
    """A file whose text is executed by every run, while it is there; and waits that are short."""
    file = tmp_path / "fault.py"
    monkeypatch.setenv(FAULT, str(file))
    monkeypatch.setattr(breaker, "FIRST_SECONDS", 0.05)
    monkeypatch.setattr(breaker, "MOST_SECONDS", 0.2)
    monkeypatch.setattr(breaker, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr(breaker, "MOST_PROBE_SECONDS", 0.3)
    return file


def run(text, root, logs, **options):
    def engine(workers):
        work = "support.fake_work:execute_unless_broken"
        return LocalEngine(workers=workers, root=root, logs=logs, work=work, beat=0.2)

    return run_sweep(text, root, **{"engine_factory": engine, "lease": 5.0, **options})


class HealAfter(Notes):
    """Does something once a sweep has said a text."""

    def __init__(self, text, action):
        super().__init__()
        self.text, self.action = text, action

    def note(self, text):
        super().note(text)
        if self.text in text and self.action is not None:
            action, self.action = self.action, None
            action()


class HealWhenShown(Notes):
    """Does something once an outage is shown, which may be a moment after it was said."""

    def __init__(self, action):
        super().__init__()
        self.action = action

    def show(self, now):
        super().show(now)
        if now.outage and self.action is not None:
            action, self.action = self.action, None
            action()


def assert_clean(root, database=None):
    """Check that every planned run was done, and that no board tells of a failure."""
    with closing(Store(root, database)) as store:
        records = list(store.records())
    assert [r.status for r in records] == [Status.DONE] * RUNS
    rows = [row for board in build(records) for row in board.rows]
    assert rows
    assert not [row for row in rows if row.failures]


def test_a_fault_that_many_trials_meet_stops_the_placing_until_it_is_over(tmp_path, fault):
    fault.write_text(FULL)
    notes = HealWhenShown(fault.unlink)
    outcome = run(SWEEP, tmp_path / "r", tmp_path / "logs", progress=notes)
    assert (outcome.complete, outcome.exit_code) == (True, 0)
    assert_clean(tmp_path / "r")
    text = "\n".join(notes.notes)
    assert "no new trials are placed" in text
    assert "interrupted: sweep/" in text
    assert "Not its own fault (a disk is full, broken or away): it is tried again in" in text
    assert "rnnbench sweep resume sweep" in text
    assert "trials are placed again" in text
    assert any(snapshot.outage for snapshot in notes.snapshots)
    assert not notes.snapshots[-1].outage
    assert len(starts(tmp_path / "r")) == RUNS, "each run did its work once"


def test_storage_that_goes_away_and_comes_back_leaves_no_failure(tmp_path, fault, monkeypatch):
    monkeypatch.setenv("RNNBENCH_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setattr(remote, "WAITS", (0.01, 0.01))
    shared, url = tmp_path / "shared", f"file://{tmp_path}/shared"

    def cut():
        shared.rename(tmp_path / "elsewhere")
        shared.write_text("no folder, so nothing can be listed or written below it")

    def mend():
        shared.unlink()
        (tmp_path / "elsewhere").rename(shared)

    shared.mkdir()
    cut()
    notes = HealAfter("no new trials are placed", mend)
    outcome = run(SWEEP, url, tmp_path / "logs", progress=notes)
    assert outcome.complete, outcome.failures
    assert "the address of the results cannot be read or written" in "\n".join(notes.notes)
    assert_clean(url)
    there = [p.parent.name for p in shared.glob("runs/*/record.json")]
    assert len(there) == RUNS


def test_a_module_that_only_workers_lack_is_no_fault_of_the_plugin(tmp_path, fault, monkeypatch):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/only_on_the_driver.py").write_text("")
    fault.write_text(
        "import sys; sys.path = [p for p in sys.path if not p.endswith('modules')];"
        "importlib.invalidate_caches(); importlib.import_module('only_on_the_driver')"
    )
    monkeypatch.syspath_prepend(tmp_path / "modules")
    notes = HealAfter("no new trials are placed", fault.unlink)
    outcome = run(SWEEP, tmp_path / "r", tmp_path / "logs", progress=notes)
    assert outcome.complete
    assert "a package or a plugin of the driver is missing on a worker" in "\n".join(notes.notes)
    assert_clean(tmp_path / "r")


def test_a_module_that_the_driver_lacks_too_is_the_plugins_to_mend(tmp_path, fault):
    fault.write_text("importlib.import_module('surely_not_there')")
    text = SWEEP.replace("trials: 3", "trials: 1").replace("final: {seeds: [1, 2]}\n", "")
    outcome = run(text, tmp_path / "r", tmp_path / "logs")
    assert {f.status for f in outcome.failures} == {"crashed"}
    assert "No module named 'surely_not_there'" in outcome.failures[0].reason


def test_a_gpu_error_that_may_be_the_models_is_tried_once_more(tmp_path, fault):
    once = tmp_path / "once"
    failing = "raise RuntimeError('CUDA error: unspecified launch failure')"
    fault.write_text(
        f"import pathlib\ntry: pathlib.Path('{once}').open('x')\nexcept OSError: pass\n"
        f"else: {failing}"
    )
    notes = Notes()
    outcome = run(SWEEP, tmp_path / "r", tmp_path / "logs", progress=notes)
    assert outcome.complete
    (told,) = [n for n in notes.notes if "unspecified launch failure" in n]
    assert told.startswith("perhaps not its own fault")
    assert_clean(tmp_path / "r")
    fault.write_text(failing)
    text = SWEEP.replace("name: sweep", "name: other").replace("trials: 3", "trials: 1")
    outcome = run(text.replace("[easy]", "[noisy]"), tmp_path / "r", tmp_path / "logs")
    assert {f.status for f in outcome.failures} == {"crashed"}


def test_a_model_that_breaks_its_gpu_takes_no_later_trial_with_it(tmp_path, fault):
    """After an assertion on the device, CUDA fails whatever the same process tries."""
    fault.write_text(
        "import sys, types\n"
        "def fail(): raise RuntimeError('CUDA error: device-side assert triggered')\n"
        "if 'torch' in sys.modules: fail()\n"
        "if spec.seed == 1:\n"
        "    cuda = types.SimpleNamespace(is_initialized=lambda: True, synchronize=fail)\n"
        "    sys.modules['torch'] = types.SimpleNamespace(cuda=cuda)\n"
        "    fail()\n"
    )
    outcome = run(SWEEP.replace("workers: 2", "workers: 1"), tmp_path / "r", tmp_path / "logs")
    assert [f.status for f in outcome.failures] == ["crashed"]
    assert outcome.last.count("finals_done") == 1, "that of seed 2, after that of seed 1"
    assert outcome.lost_workers == 0, "no trial died with a worker that left"


def test_a_trial_whose_node_fails_it_each_time_waits_for_the_next_start(
    tmp_path, fault, monkeypatch
):
    monkeypatch.setattr(breaker, "TRIES", 3)
    fault.write_text(f"if spec.architecture.name == 'plain' and spec.seed == 1: {FULL}")
    outcome = run(SWEEP, tmp_path / "r", tmp_path / "logs")
    assert (outcome.complete, outcome.exit_code, outcome.failures) == (False, 69, ())
    assert "wait for infrastructure that failed them" in outcome.summary()
    assert "the same command goes on" in outcome.summary()
    fault.unlink()
    assert run(SWEEP, tmp_path / "r", tmp_path / "logs").exit_code == 0
    assert_clean(tmp_path / "r")


def test_rows_that_await_the_seeds_of_a_row_that_waits_do_not_wait_forever(
    tmp_path, fault, monkeypatch
):
    monkeypatch.setattr(breaker, "TRIES", 3)
    fault.write_text(f"if spec.architecture.name == 'plain' and spec.seed == 1: {FULL}")
    lines = GRID.replace("explodes", "layered").replace("[[], [zoneout]]", "[[]]").splitlines()
    text = "\n".join([*lines[:4], "final: {seeds: auto, at_least: 2, at_most: 3}", lines[-1], ""])
    outcome = run(text, tmp_path / "r", tmp_path / "logs")
    assert (outcome.complete, outcome.exit_code) == (False, 69)
    assert "1 trials wait for infrastructure" in outcome.summary()
    fault.unlink()
    assert run(text, tmp_path / "r", tmp_path / "logs").exit_code == 0


def test_what_an_older_version_blamed_on_a_model_is_run_again_by_the_same_command(tmp_path, fault):
    root = tmp_path / "r"
    run(SWEEP, root, tmp_path / "logs")
    engine = open_database(root / "results.db")
    victims = [r for r in rows_of(root) if r.stage == "final"][:2]
    for row in victims:  # as an earlier version left them
        path = root / "runs" / row.run_id / "record.json"
        reason = "RemoteError: cannot list runs at s3://bucket/results: away"
        with closing(Store(root)) as store:
            record = store.read(row.run_id)
        text = path.read_text().replace('"status": "done"', '"status": "crashed"')
        path.write_text(text.replace('"reason": null', f'"reason": "{reason}"'))
        with engine.begin() as connection:
            failed = {"state": "failed", "status": "crashed", "reason": reason, "value": None}
            connection.execute(sa.update(trial).where(trial.c.key == row.key).values(**failed))
    engine.dispose()
    with closing(Store(root)) as store:
        assert store.read(victims[0].run_id).status == Status.INTERRUPTED
    notes = Notes()
    outcome = run(SWEEP, root, tmp_path / "logs", progress=notes)
    assert (outcome.ran, outcome.complete, outcome.failures) == (2, True, ())
    assert "an earlier version held faults of the infrastructure against them" in notes.notes[0]
    assert record is not None
    assert_clean(root)


def test_status_tells_of_the_outage_and_resume_places_trials_at_once(tmp_path, fault, monkeypatch):
    monkeypatch.setattr(breaker, "PROBE_SECONDS", 600.0)
    monkeypatch.setattr(breaker, "MOST_PROBE_SECONDS", 600.0)
    fault.write_text(FULL)
    root, told = tmp_path / "r", {}

    def look():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and "hardly" not in told.get("status", ""):
            told["status"] = call("sweep", "status", "sweep", "--out", root)
        fault.unlink()
        told["resume"] = call("sweep", "resume", "sweep", "--out", root)

    thread = threading.Thread(target=look)
    notes = HealAfter("no new trials are placed", thread.start)
    assert run(SWEEP, root, tmp_path / "logs", progress=notes).complete
    thread.join()
    assert "hardly any trial is placed: a disk is full" in told["status"]
    assert "What to do: make room" in told["status"]
    assert f"rnnbench sweep resume sweep --out {root}" in told["status"]
    assert "goes on, run by process" in told["resume"]
    assert "trials are placed again, by a request" in notes.notes
    assert_clean(root)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this process may not mount a disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_of_results_that_is_full_ends_with_69_and_goes_on_when_there_is_room(
    tmp_path, fault, small_disk
):
    """The ledger is on another disk, as a database server's is."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    notes = HealAfter("interrupted: sweep/", lambda: (small_disk / "r/filler").unlink())
    (small_disk / "r").mkdir()

    def fill():
        while not (small_disk / "r/starts.log").exists():
            time.sleep(0.01)
        with contextlib.suppress(OSError), open(small_disk / "r/filler", "wb", 0) as file:
            while True:
                file.write(b"0" * 4096)

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        outcome = run(SWEEP, small_disk / "r", tmp_path / "logs", database=url, progress=notes)
    except OutageError:  # the disk was full where the driver writes, too
        (small_disk / "r/filler").unlink(missing_ok=True)
        outcome = run(SWEEP, small_disk / "r", tmp_path / "logs", database=url)
    thread.join()
    assert outcome.complete
    assert_clean(small_disk / "r", url)
    shutil.rmtree(small_disk / "r")


@pytest.mark.parametrize(
    ("raised", "kind"),
    [(f"raise {OSError(28, 'no room')!r}", OutageError), ("raise KeyError('ours')", EngineError)],
)
def test_a_worker_that_cannot_start_says_whether_the_same_command_will_do(
    tmp_path, fault, monkeypatch, raised, kind
):
    (tmp_path / "unable.py").write_text(raised)
    monkeypatch.syspath_prepend(tmp_path)

    def engine(workers):
        work, root = "unable:execute", tmp_path / "r"
        return LocalEngine(workers=1, root=root, logs=tmp_path / "logs", work=work, beat=0.2)

    with pytest.raises(kind, match="a worker cannot start") as caught:
        run_sweep(SWEEP, tmp_path / "r", engine_factory=engine)
    assert ("What to do: make room" in str(caught.value)) == (kind is OutageError)
