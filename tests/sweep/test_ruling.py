"""Controlling a sweep from another terminal, by the command line, while a real driver runs it."""

import json
import signal
import subprocess
import sys
import time

import pytest
from support import TESTS
from support.command_line import call
from support.fake_work import starts
from support.small_sweeps import RUNS, SWEEP, rows_of, run

from rnnbench.errors import SweepError
from rnnbench.spec.run_spec import Trainer
from rnnbench.sweep.engines.choose import gpu_shares
from rnnbench.sweep.file.resources import Resources, read_bytes

SCRIPT = TESTS / "support" / "fake_work.py"
SLOW = SWEEP.replace("[easy]", "[{name: easy, seconds: 0.3}]")


class Driver:
    """A driver in a process of its own."""

    def __init__(self, folder, text):
        self.root = folder / "root"
        self.root.mkdir(exist_ok=True)
        file = folder / "sweep.yaml"
        file.write_text(text)
        self.output = folder / "driver.txt"
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, SCRIPT, file, self.root], stdout=output, stderr=output
            )

    def rule(self, *words, code=0):
        return call("sweep", words[0], "sweep", *words[1:], "--out", self.root, code=code)

    def status(self):
        return json.loads(self.rule("status", "--json"))

    def wait_for(self, condition, seconds=60.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.05)


@pytest.fixture
def driver(tmp_path):
    driver = Driver(tmp_path, SLOW)
    driver.wait_for(lambda: len(starts(driver.root)) >= 2)
    yield driver
    driver.process.kill()
    driver.process.wait()


def test_status_tells_cells_workers_and_who_runs_it(driver):
    driver.wait_for(lambda: "GB" in driver.rule("status"))
    heard = []

    def memory_is_told():
        heard.append(driver.status())
        return any(w["memory_bytes"] > 1e6 for w in heard[-1]["workers"])

    driver.wait_for(memory_is_told)
    text = driver.rule("status")
    assert text.startswith(f"sweep: running, run by process {driver.process.pid} on this host")
    assert "easy.plain+zoneout" in text
    assert "this machine" in text
    now = heard[-1]
    assert now["state"] == "running"
    assert sum(c["trials"] for c in now["cells"]) == 12
    assert "sweep: running: " in call("sweep", "status", "--out", driver.root)


def test_a_pause_starts_nothing_more_and_ends_with_resume(driver):
    assert "is paused: what runs goes on to its end" in driver.rule("pause")
    driver.wait_for(lambda: not any(r.state == "running" for r in rows_of(driver.root)))
    count = len(starts(driver.root))
    time.sleep(1.5)
    assert len(starts(driver.root)) == count
    assert driver.rule("status").startswith("sweep: paused")
    assert "goes on, run by process" in driver.rule("resume")
    driver.wait_for(lambda: driver.process.poll() == 0, 120)
    assert len(starts(driver.root)) == RUNS
    assert driver.rule("status").startswith("sweep: complete")


def test_stop_waits_until_the_driver_has_ended_in_order(driver):
    assert "has stopped. Go on: rnnbench sweep resume sweep" in driver.rule("stop")
    assert driver.process.wait(120) == 128 + signal.SIGTERM
    assert {r.state for r in rows_of(driver.root)} <= {"planned", "done"}
    assert "waiting for a driver" in driver.rule("status")
    assert "is not running" in driver.rule("stop")


def test_extend_asks_a_running_sweep_for_more(driver):
    output = driver.rule("extend", "--trials", "4", "--seed", "7")
    assert "4 trials of each cell and final seeds 7" in output
    driver.wait_for(lambda: driver.process.poll() == 0, 120)
    rows = rows_of(driver.root)
    assert sum(r.stage == "search" for r in rows) == 16
    assert {r.number for r in rows if r.stage == "final"} == {1, 2, 7}
    assert all(r.ended for r in rows)
    assert len({run_id for run_id, _, _ in starts(driver.root)}) == len(starts(driver.root))


def test_a_seed_that_chose_cannot_report(driver):
    assert "did not choose it" in driver.rule("extend", "--seed", "0", code=2)
    assert "extend by what?" in driver.rule("extend", code=2)


def test_failed_trials_are_run_again_when_asked(tmp_path):
    text = SWEEP.replace("[plain, explodes]", "[deadly]").replace("trials: 3", "trials: 1")
    text = text.replace("tricks: [[], [zoneout]]\n", "").replace("final: {seeds: [1, 2]}\n", "")
    run(text, tmp_path)
    (before,) = rows_of(tmp_path)
    assert (before.state, before.attempt) == ("failed", 2)
    output = call("sweep", "retry", "sweep", "--out", tmp_path)
    assert f"waits to be run again: {before.key}" in output
    assert "rnnbench sweep resume sweep" in output
    run(text, tmp_path)
    (after,) = rows_of(tmp_path)
    assert (after.state, after.attempt) == ("failed", 4)


def test_what_would_end_in_the_same_way_is_not_retried(tmp_path):
    text = SWEEP.replace("[plain, explodes]", "[always-nan]").replace("trials: 3", "trials: 1")
    run(text, tmp_path)
    key = rows_of(tmp_path)[0].key
    assert "would end so again" in call("sweep", "retry", "sweep", key, "--out", tmp_path, code=2)
    assert "no trial failed in a way" in call("sweep", "retry", "sweep", "--out", tmp_path)
    assert "no failed trial" in call("sweep", "retry", "sweep", "x", "--out", tmp_path, code=2)


def test_the_log_of_a_trial_is_found_by_its_name(tmp_path):
    text = SWEEP.replace("[plain, explodes]", "[raises]").replace("trials: 3", "trials: 1")
    run(text, tmp_path)
    key = rows_of(tmp_path)[0].key
    listed = call("sweep", "logs", "sweep", "--out", tmp_path)
    assert f"{key}  crashed: RuntimeError: a fault of the runner" in listed
    log = call("sweep", "logs", "sweep", key, "--out", tmp_path)
    assert log.startswith("== attempt 1, ")
    assert "RuntimeError: a fault of the runner" in log
    assert "is no trial of" in call("sweep", "logs", "sweep", "no", "--out", tmp_path, code=2)


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    run(SWEEP.replace("trials: 3", "trials: 1"), tmp_path)
    for words in (
        ["status"],
        ["pause"],
        ["stop"],
        ["retry"],
        ["logs"],
        ["extend", "--trials", "3"],
    ):
        output = call("sweep", words[0], "other", *words[1:], "--out", tmp_path, code=2)
        assert "there is no sweep 'other' in these results; known are: sweep" in output


def test_a_driver_ended_by_usr1_asks_to_be_started_again(driver):
    driver.process.send_signal(signal.SIGUSR1)
    assert driver.process.wait(120) == 75
    assert {r.state for r in rows_of(driver.root)} <= {"planned", "done"}


def test_a_search_that_runs_out_of_time_reports_what_it_has(tmp_path):
    text = SLOW.replace("trials: 3", "trials: 200\n  timeout: 8")
    outcome = run(text.replace("[plain, explodes]", "[plain]"), tmp_path)
    assert outcome.complete
    rows = rows_of(tmp_path)
    assert 2 <= sum(r.stage == "search" for r in rows) < 400
    assert sum(r.stage == "final" and r.state == "done" for r in rows) == 4


# ------------------------------------------------------------------------------ shares of GPUs


def test_workers_share_gpus_evenly_where_the_file_does_not_say():
    assert gpu_shares(Resources(), Trainer(), 3, ["0", "1"]) == ["0", "1", "0"]
    assert gpu_shares(Resources(), Trainer(), 2, []) is None
    assert gpu_shares(Resources(), Trainer(accelerator="cpu"), 2, ["0"]) is None


def test_a_file_says_how_many_trials_share_a_gpu_or_how_many_gpus_a_trial_takes():
    assert gpu_shares(Resources(gpus=1), Trainer(), 4, ["0", "1"]) == ["0", "1"]
    assert gpu_shares(Resources(gpus=0.5), Trainer(), 9, ["0", "1"]) == ["0", "1", "0", "1"]
    assert gpu_shares(Resources(gpus=2), Trainer(), 9, ["0", "1", "2", "3"]) == ["0,1", "2,3"]
    assert gpu_shares(Resources(gpus=0), Trainer(), 2, ["0"]) == ["", ""]


def test_gpus_that_are_not_there_are_an_error_before_any_trial():
    with pytest.raises(SweepError, match="a trial takes 2 GPUs, and this machine has 1"):
        gpu_shares(Resources(gpus=2), Trainer(), 1, ["0"])
    with pytest.raises(SweepError, match=r"trainer\.accelerator is cpu"):
        gpu_shares(Resources(gpus=1), Trainer(accelerator="cpu"), 1, ["0"])


def test_memory_is_written_as_people_write_it():
    assert read_bytes("4GB") == 4_000_000_000
    assert read_bytes("1.5 gib") == 3 * 2**29
    assert read_bytes(1024) == 1024
    units = {"1K": 10**3, "2MB": 2 * 10**6, "1TB": 10**12, "1KiB": 2**10, "3MiB": 3 * 2**20}
    assert {text: read_bytes(text) for text in units} == units
    for wrong in ("4 cups", "", "-1GB", 0, True):
        with pytest.raises(ValueError, match="is no amount of memory"):
            read_bytes(wrong)


def test_a_mistake_in_resources_names_its_line():
    from rnnbench.sweep.file.sweep import parse_sweep

    for wrong, message in (
        ("resources: {gpu: 1}", "unknown key 'gpu'; did you mean 'gpus' or"),
        ("resources: {gpus: 1.5}", "a part of one GPU or whole ones"),
        ("resources: {memory: much}", "is no amount of memory"),
        ("resources: {labels: {a: 1}}", "a label is text"),
        ("resources: {placement: random}", "placement"),
    ):
        with pytest.raises(SweepError, match="sweep:12") as error:
            parse_sweep(SWEEP + wrong)
        assert message in str(error.value)
