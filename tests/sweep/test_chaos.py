"""Sweeps while workers, nodes and drivers are killed with -9 at random times.

Small in the default run; `pytest -m slow -s tests/test_sweep_chaos.py` runs 200 trials.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from support import TESTS
from support.fake_work import starts, units
from support.ray_cluster import RAY_ALONE, cluster_of
from support.small_sweeps import assert_nothing_is_left_behind, rows_of

from rnnbench.sweep.ledger.process_identity import start_time

SCRIPT = TESTS / "support" / "fake_work.py"
UNITS = 4
TEXT = f"""\
name: sweep
tasks: [{{name: easy, seconds: SECONDS}}]
architectures: [{{name: steady, units: {UNITS}}}]
search:
  trials: TRIALS
  sampler: random
  space: {{optimizer.lr: {{low: 1e-4, high: 1e-1, log: true}}}}
final: {{seeds: [1, 2]}}
workers: 3
retries: 100
"""


class Chaos:
    """Kills processes of a sweep at random, and counts the kills."""

    def __init__(self, root, seed):
        self.root, self.random = root, random.Random(seed)
        self.kills = Counter()

    def kill_worker(self):
        pids = {pid for _, _, pid in starts(self.root)}
        # A number may belong to a stranger by now: only what leads a group of its own and runs
        # rnnbench's worker is ours.
        ours = [p for p in pids if b"rnnbench.sweep.engines.worker" in command_of(p)]
        if ours:
            os.kill(self.random.choice(ours), signal.SIGKILL)
            self.kills["worker"] += 1
        return bool(ours)

    def kill_driver(self, driver):
        driver.kill()
        driver.wait()
        self.kills["driver"] += 1

    def kill_node(self, cluster):
        node = self.random.choice(cluster.workers)
        cluster.workers.remove(node)
        cluster.remove_node(node, allow_graceful=False)
        cluster.workers.append(cluster.add_node(num_cpus=1))
        self.kills["node"] += 1


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def survive(tmp_path, trials, kills, pause, seed, cluster=None, seconds=0.02, limit=240):
    """Run a sweep to its end through so many kills, and check what is left."""
    sweep, root = tmp_path / "sweep.yaml", tmp_path / "root"
    sweep.write_text(TEXT.replace("TRIALS", str(trials)).replace("SECONDS", str(seconds)))
    root.mkdir()
    chaos, done = Chaos(root, seed), {}
    environment = {**os.environ, "FAKE_ADDRESS": cluster.address if cluster else ""}
    actions = ["worker", "worker", "driver", *(["node"] if cluster else [])]
    deadline = time.monotonic() + limit
    driver = None
    while True:
        assert time.monotonic() < deadline, f"not complete after {chaos.kills}"
        if driver is None:
            command = [sys.executable, SCRIPT, sweep, root]
            with open(tmp_path / "driver.txt", "ab") as log:
                driver = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            driver.wait(timeout=chaos.random.uniform(0.5, 1.5) * pause)
        except subprocess.TimeoutExpired:
            if sum(chaos.kills.values()) < kills:
                action = chaos.random.choice(actions)
                if action == "worker" and not chaos.kill_worker():
                    continue  # none is at work yet
                if action == "driver":
                    chaos.kill_driver(driver)
                    driver = None
                elif action == "node":
                    chaos.kill_node(cluster)
            if (root / "results.db").exists():
                now = {r.key: r for r in rows_of(root) if r.ended}
                for key, row in done.items():  # what was finished stays as it was
                    assert now[key].value == row.value
                    assert now[key].attempt == row.attempt
                done = now
            continue
        assert driver.returncode == 0, (tmp_path / "driver.txt").read_text()
        break
    rows = rows_of(root)
    assert len(rows) == len({r.key for r in rows}) == trials + 2
    assert {r.state for r in rows} == {"done"}
    assert len({r.run_id for r in rows}) == trials + 2
    assert {run_id for run_id, _, _ in starts(root)} == {r.run_id for r in rows}
    # A kill of a worker costs its trial the unit at hand; a driver or a node takes up to three.
    worked = Counter(units(root))
    repeated = sum(worked.values()) - len(worked)
    assert len(worked) == (trials + 2) * UNITS
    assert repeated <= chaos.kills["worker"] + 3 * chaos.kills["driver"] + 3 * chaos.kills["node"]
    assert_nothing_is_left_behind(root)
    assert start_time(driver.pid) is None
    print(f"{trials} trials, kills {dict(chaos.kills)}, {repeated} units of work repeated")
    return chaos.kills


def ray_processes():
    return [
        p.name
        for p in Path("/proc").glob("[0-9]*")
        if any(w in command_of(int(p.name)) for w in (b"raylet", b"gcs_server", b"ray::"))
    ]


def shared_memory():
    return {p.name for p in Path("/dev/shm").iterdir()}


@pytest.mark.kills
def test_killing_workers_and_drivers_of_one_machine_loses_and_repeats_nothing(tmp_path):
    kills = survive(tmp_path, trials=24, kills=6, pause=1.2, seed=1, seconds=0.2)
    assert sum(kills.values()) >= 3


@pytest.mark.kills
def test_killing_workers_nodes_and_drivers_of_a_cluster_loses_and_repeats_nothing(tmp_path):
    with RAY_ALONE:
        before, memory = set(ray_processes()), shared_memory()
        with cluster_of(tmp_path, nodes=3) as cluster:
            kills = survive(
                tmp_path, trials=24, kills=5, pause=4.0, seed=3, cluster=cluster, seconds=0.3
            )
            assert sum(kills.values()) >= 2
        deadline = time.monotonic() + 120
        while set(ray_processes()) - before and time.monotonic() < deadline:
            time.sleep(0.2)
        assert set(ray_processes()) <= before
        assert shared_memory() <= memory


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_two_hundred_trials_survive_forty_kills_on_one_machine(tmp_path, seed):
    kills = survive(tmp_path, trials=200, kills=40, pause=1.2, seed=seed, seconds=0.1, limit=900)
    assert min(kills["worker"], kills["driver"]) >= 4


@pytest.mark.slow
def test_two_hundred_trials_survive_twenty_kills_on_a_cluster(tmp_path):
    with cluster_of(tmp_path, nodes=3) as cluster:
        kills = survive(
            tmp_path,
            trials=200,
            kills=20,
            pause=4.0,
            seed=0,
            cluster=cluster,
            seconds=0.3,
            limit=900,
        )
    assert min(kills["worker"], kills["driver"], kills["node"]) >= 2
