"""A driver that is started again: real processes, really killed."""

import signal
import sys
import time

import pytest
from support import TESTS
from support.command_line import call
from support.fake_work import starts
from support.small_sweeps import RUNS, SWEEP, rows_of, run

from rnnbench.sweep.ledger.standing import Standing, standing_of
from rnnbench.sweep.operations import supervise as supervision
from rnnbench.sweep.operations.supervise import Restarts, driver_command, supervise

SCRIPT = TESTS / "support" / "fake_work.py"
ONE = SWEEP.replace("[plain, explodes]", "[plain]").replace("trials: 3", "trials: 1")
QUICK = Restarts(limit=3, first_seconds=0.01)


class Script:
    """A driver whose starts end as planned, one after the other."""

    def __init__(self, folder, *endings):
        self.said, self._starts, plan = [], folder / "starts", folder / "plan"
        plan.write_text("\n".join(endings))
        code = (
            "import os, pathlib, signal, subprocess, sys, time\n"
            f"starts, plan = pathlib.Path({str(self._starts)!r}), pathlib.Path({str(plan)!r})\n"
            "n = starts.read_text().count('x') if starts.exists() else 0\n"
            "starts.write_text('x' * (n + 1))\n"
            "lines = plan.read_text().splitlines()\n"
            "exec(lines[min(n, len(lines) - 1)])\n"
        )
        self.command = [sys.executable, "-c", code]

    @property
    def starts(self):
        return len(self._starts.read_text())

    def supervise(self, restarts=QUICK, standing=lambda: None):
        return supervise(self.command, standing, self.said.append, restarts)


KILLED = "os.kill(os.getpid(), signal.SIGKILL)"


def test_a_driver_that_is_killed_again_and_again_is_started_again_until_the_sweep_is_complete(
    tmp_path,
):
    file, said = tmp_path / "sweep.yaml", []
    file.write_text(SWEEP)
    command = [sys.executable, str(SCRIPT), str(file), str(tmp_path), "committed", "6"]
    restarts = Restarts(limit=1, first_seconds=0.01)  # each time there was progress
    code = supervise(command, lambda: standing_of("sweep", tmp_path, None), said.append, restarts)
    assert code == 0
    assert len(said) >= 3
    assert all("was killed (SIGKILL)" in line and "restart 1 of at most 1" in line for line in said)
    rows = rows_of(tmp_path)
    assert len(rows) == RUNS
    assert all(row.ended for row in rows)
    assert len({run for run, _, _ in starts(tmp_path)}) == RUNS


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (KILLED, "was killed (SIGKILL), perhaps because memory ran out"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "was ended by SIGSEGV"),
        ("sys.exit(69)", "ended with 69, since something that it needs is away"),
        ("sys.exit(75)", "ended with 75: it was asked to stop for a while"),
    ],
)
def test_what_is_no_fault_of_the_sweep_starts_the_driver_again_and_says_why(
    tmp_path, ending, reason
):
    driver = Script(tmp_path, ending, "sys.exit(0)")
    assert driver.supervise() == 0
    assert driver.starts == 2
    (line,) = driver.said
    assert line.startswith(f"the driver {reason}: started again in 0.01 s")


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("sys.exit(0)", 0),
        ("sys.exit(1)", 1),
        ("sys.exit(2)", 2),
        ("sys.exit(130)", 130),
        ("sys.exit(143)", 143),
        ("os.kill(os.getpid(), signal.SIGTERM)", 143),
    ],
)
def test_a_success_a_failure_and_a_stop_are_the_end(tmp_path, ending, code):
    driver = Script(tmp_path, ending)
    assert driver.supervise() == code
    assert (driver.starts, driver.said) == (1, [])


def test_restarts_without_progress_are_limited_and_wait_longer_each_time(tmp_path):
    driver, gave_up = Script(tmp_path, KILLED), []
    code = supervise(driver.command, lambda: None, driver.said.append, QUICK, gave_up.append)
    assert code == 128 + signal.SIGKILL
    assert driver.starts == 1 + QUICK.limit
    assert gave_up == driver.said[-1:]
    waits = [line.partition("started again in ")[2].split()[0] for line in driver.said[:-1]]
    assert waits == ["0.01", "0.02", "0.04"]
    assert "Given up: it was started again 3 times, and no trial ended" in driver.said[-1]
    assert "the same command goes on from here" in driver.said[-1]


def test_a_trial_that_ended_or_a_long_life_starts_the_count_anew(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    driver, ended = Script(tmp_path / "a", *[KILLED] * 6, "sys.exit(0)"), iter(range(100))
    assert driver.supervise(standing=lambda: Standing(next(ended), False)) == 0
    lived = Script(tmp_path / "b", *[KILLED] * 6, "sys.exit(0)")
    assert lived.supervise(Restarts(limit=3, first_seconds=0.01, progress_seconds=0.0)) == 0


def test_a_driver_that_was_asked_to_stop_is_not_started_again(tmp_path):
    driver = Script(tmp_path, KILLED)
    assert driver.supervise(standing=lambda: Standing(0, True)) == 128 + signal.SIGKILL
    assert driver.starts == 1
    assert "after it was asked to stop: it is not started again" in driver.said[0]


@pytest.mark.parametrize(("sent", "code"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGUSR1", 75)])
def test_a_signal_is_passed_on_and_ends_both(tmp_path, sent, code):
    ending = (
        f"signal.signal(signal.{sent}, lambda *_: sys.exit({code})); "
        f"os.kill(os.getppid(), signal.{sent}); time.sleep(60)"
    )
    driver = Script(tmp_path, ending)
    before = signal.getsignal(signal.SIGTERM)
    assert driver.supervise() == code
    assert (driver.starts, driver.said) == (1, [])
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_between_two_drivers_ends_the_wait(tmp_path):
    later = "subprocess.Popen(['sh', '-c', f'sleep 0.5; kill -TERM {os.getppid()}']); sys.exit(69)"
    driver, began = Script(tmp_path, later), time.monotonic()
    assert driver.supervise(Restarts(first_seconds=60.0)) == 143
    assert time.monotonic() - began < 30
    assert driver.starts == 1


def test_the_supervised_command_is_the_one_that_was_typed(tmp_path, monkeypatch):
    from rnnbench.cli.actions import supervise as action

    ran = []
    monkeypatch.setattr(action, "supervise", lambda *given: ran.append(given) or 0)
    file = tmp_path / "-sweep.yaml"
    file.write_text(SWEEP)
    call("sweep", "--supervise", "--restarts", "4", "--workers", "3", "--no-html", "--out",
         tmp_path / "r", "--", file)  # fmt: skip
    (first, standing, _, restarts, _), *_ = ran
    typed = ["--workers", "3", "--no-html", "--out", f"{tmp_path}/r"]
    assert sorted(first) == sorted(driver_command(["sweep", "run", *typed, "--", str(file)]))
    assert first[-2:] == ["--", str(file)]
    assert restarts.limit == 4
    assert standing() is None
    assert not (tmp_path / "r").exists()
    assert "there is no sweep 'sweep'" in call(
        "sweep", "resume", "sweep", "--supervise", "--out", tmp_path / "r", code=2
    )
    run(ONE, tmp_path / "r")
    call("sweep", "resume", "sweep", "--supervise", "--out", tmp_path / "r")
    second = ran[-1][0]
    assert second[-6:] == ["sweep", "resume", "--out", f"{tmp_path}/r", "--", "sweep"]


def test_restarts_without_a_supervisor_are_refused(tmp_path):
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP)
    assert "--restarts would be ignored" in call("sweep", file, "--restarts", "3", code=2)


def test_a_supervisor_imports_no_torch(tmp_path):
    driver = Script(tmp_path, "sys.exit(0)")
    driver.command = [sys.executable, "-c", "import sys; from rnnbench.cli.actions import supervise"
                      "; sys.exit('torch' in sys.modules or 'ray' in sys.modules)"]  # fmt: skip
    assert driver.supervise() == 0
    assert supervision.RESTARTS == 10
