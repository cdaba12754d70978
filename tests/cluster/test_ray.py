"""`rnnbench cluster` and `rnnbench submit` against two real Ray nodes with a token."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from support.ray_cluster import RayCluster

# A job that stands in for `rnnbench`: it lies in the working tree, which is first on the path.
STAND_IN = """
import os, sys, time
print("job:", *sys.argv[1:])
print("plugins here:", os.path.isdir("plugins-of-mine"), flush=True)
if "--slow" in sys.argv:
    time.sleep(60)
sys.exit(int(os.environ.get("CODE", "3")) if "--fail" in sys.argv else 0)
"""
SWEEP = "name: tiny\ntasks: [co2]\narchitectures: [elman]\nfinal: {seeds: [1]}\n"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    nodes = RayCluster(tmp_path_factory.mktemp("cluster"))
    yield nodes
    nodes.close()


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "tree" / "rnnbench").mkdir(parents=True)
    (tmp_path / "tree" / "plugins-of-mine").mkdir()
    (tmp_path / "tree" / "plugins-of-mine" / "a.txt").write_text("a")
    (tmp_path / "tree" / "rnnbench" / "__init__.py").touch()
    (tmp_path / "tree" / "rnnbench" / "__main__.py").write_text(STAND_IN)
    (tmp_path / "tree" / "sweep.yaml").write_text(SWEEP)
    return tmp_path / "tree"


def submit(cluster, tree, *more, **options):
    return cluster.run("submit", tree / "sweep.yaml", "--working-dir", tree, "--out", "/shared/x",
                       "--address", cluster.jobs, *more, **options)  # fmt: skip


def test_nodes_that_are_alike_pass_and_nothing_is_left_behind(cluster, tmp_path):
    done = cluster.run("cluster", "check", "--address", cluster.address, "--out", tmp_path / "r")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 nodes, 0 problems" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_report_is_machine_readable_and_complete(cluster, tmp_path):
    done = cluster.run("cluster", "check", "--address", cluster.address, "--json",
                       "--out", f"file://{tmp_path}")  # fmt: skip
    report = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert report["problems"] == []
    assert sorted(node["cpus_ray"] for node in report["nodes"]) == [1, 2]
    for node in report["nodes"]:
        assert set(node["versions"]) == {"python", "ray", "torch", "rnnbench"}
        assert len(node["plugins"]) > 100
        assert abs(node["clock"][0]) < 1
    assert cluster.token not in done.stdout + done.stderr


def test_storage_that_nodes_cannot_write_is_a_problem_of_each(cluster, tmp_path):
    (tmp_path / "file").touch()
    done = cluster.run("cluster", "check", "--address", cluster.address,
                       "--out", tmp_path / "file" / "results")  # fmt: skip
    assert done.returncode == 1
    assert done.stdout.count("cannot write to the folder of results") >= 2


def test_a_job_is_followed_and_its_exit_code_is_ours(cluster, tree):
    done = submit(cluster, tree)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "job: sweep sweep.yaml --out /shared/x --engine ray --address auto" in done.stdout
    assert "plugins here: True" in done.stdout
    assert "sending 4 files" in done.stderr
    failed = submit(cluster, tree, "--", "--fail")
    assert failed.returncode == 3
    assert "FAILED" in failed.stdout


def test_a_token_is_nowhere_in_what_is_sent_printed_or_kept_by_ray(cluster, tree, tmp_path):
    canary = {"WANDB_API_KEY": "canary-0f1e2d3c4b5a69788796"}
    done = submit(cluster, tree, env=canary)
    assert done.returncode == 0, done.stdout + done.stderr
    listed = cluster.run("cluster", "jobs", "--address", cluster.jobs, env=canary)
    job = re.search(r"job (rnnbench-tiny-\S+):", done.stderr)[1]
    logs = cluster.run("cluster", "logs", job, "--address", cluster.jobs, env=canary)
    kept = (cluster.folder / "cluster.log").read_text()
    for text in (done.stdout, done.stderr, listed.stdout, logs.stdout, kept):
        assert cluster.token not in text
        assert canary["WANDB_API_KEY"] not in text
    assert "job: sweep" in logs.stdout
    assert f"{job}  succeeded" in listed.stdout


def test_without_the_token_nothing_is_sent(cluster, tree):
    done = submit(cluster, tree, env={"RAY_AUTH_MODE": "disabled"})
    assert done.returncode == 1
    assert "wants another token" in done.stderr


def test_ctrl_c_detaches_and_the_job_can_be_stopped_later(cluster, tree, tmp_path):
    log = tmp_path / "said"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "rnnbench", "submit", tree / "sweep.yaml", "--working-dir",
             tree, "--out", "/shared/x", "--address", cluster.jobs, "--", "--slow"],
            env={**cluster.environment, "PYTHONUNBUFFERED": "1"}, stdout=file, stderr=file,
        )  # fmt: skip
        deadline = time.monotonic() + 300
        while "plugins here" not in log.read_text() and process.poll() is None:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(300) == 130, log.read_text()
    text = log.read_text()
    job = re.search(r"rnnbench cluster stop (\S+) --address", text)[1]
    assert "detached; the job goes on" in text
    stopped = cluster.run("cluster", "stop", job, "--address", cluster.jobs)
    assert stopped.stdout.strip() == "stopping"
    followed = cluster.run("cluster", "logs", job, "--follow", "--address", cluster.jobs)
    assert followed.returncode != 0
    assert "STOPPED" in followed.stdout


@pytest.mark.slow
def test_a_real_sweep_ends_with_its_leaderboard_and_no_secret_in_its_results(cluster, tmp_path):
    tree, results, canary = tmp_path / "tree", tmp_path / "results", "canary-0f1e2d3c4b5a69788796"
    tree.mkdir()
    (tree / "sweep.yaml").write_text(
        "name: tiny\ntasks: [{name: adding, length: 20}]\narchitectures: [{name: elman, hidden: 8}]"
        "\nsettings: {all: {budget.steps: 20, budget.validate_every: 10}}\nfinal: {seeds: [1]}\n"
    )
    done = cluster.run("submit", tree / "sweep.yaml", "--working-dir", tree, "--out", results,
                       "--address", cluster.jobs, env={"WANDB_API_KEY": canary})  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sweep tiny complete" in done.stdout
    kept = [file.read_bytes() for file in results.rglob("*") if file.is_file()]
    assert len(kept) > 3
    for secret in (cluster.token.encode(), canary.encode()):
        assert not any(secret in content for content in kept)
