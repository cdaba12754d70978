"""A sweep whose Ray head is gone says so, and ends with the code after which recipes repeat it."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.ray_cluster import RayCluster

from rnnbench.errors import OutageError
from rnnbench.sweep.cluster import head_watch
from rnnbench.sweep.cluster.head_watch import HeadWatch, LostClusterError
from rnnbench.sweep.cluster.wait_for_nodes import wait_for_nodes

SWEEP = """\
name: long
tasks: [{name: adding, length: 50}]
architectures: [elman]
settings: {adding: {budget.steps: 100000, budget.validate_every: 50000}}
final: {seeds: [1]}
"""


def kill_head(cluster):
    """Kill the process that keeps a cluster's state: the one that has its token."""
    ours = f"RAY_AUTH_TOKEN_PATH={cluster.token_file}".encode()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        if (
            b"gcs_server" in file.read_bytes().split(b"\0")[0]
            and ours in (file.parent / "environ").read_bytes()
        ):
            os.kill(int(file.parent.name), signal.SIGKILL)
            return
    raise AssertionError("the cluster has no head")


def test_a_head_that_takes_no_connections_is_lost_and_one_that_does_is_not(monkeypatch):
    monkeypatch.setattr(head_watch, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(head_watch, "LOST_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as head:
        watch = HeadWatch(f"127.0.0.1:{head.getsockname()[1]}")
        time.sleep(1.5)
        watch.raise_if_lost()
    deadline = time.monotonic() + 60
    while not watch.lost:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with pytest.raises(LostClusterError, match="the same command goes on") as lost:
        watch.raise_if_lost()
    watch.stop()
    assert lost.value.exit_code == 69


def test_waiting_for_a_head_that_never_comes_ends_with_its_address(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(OutageError, match=rf"no Ray answers at {address} after 0 s"):
        wait_for_nodes(address, 2, 0.0)


@pytest.mark.slow
def test_a_killed_head_ends_a_sweep_within_a_minute_in_words(tmp_path):
    cluster = RayCluster(tmp_path)
    try:
        waited = cluster.run("cluster", "wait", "--address", cluster.address, "--nodes", "2")
        assert waited.returncode == 0, waited.stderr
        late = cluster.run("cluster", "wait", "--address", cluster.address, "--nodes", "3",
                           "--timeout", "2")  # fmt: skip
        assert late.returncode == 69
        assert "after 2 s 2 of 3 nodes are here" in late.stderr
        (tmp_path / "other").touch(mode=0o600)
        (tmp_path / "other").write_text("0" * 64)
        stranger = cluster.run("cluster", "wait", "--address", cluster.address, "--nodes", "2",
                               env={"RAY_AUTH_TOKEN_PATH": str(tmp_path / "other")})  # fmt: skip
        assert stranger.returncode == 1
        assert "does not take the token of this machine" in stranger.stderr
        (tmp_path / "sweep.yaml").write_text(SWEEP)
        command = ["sweep", tmp_path / "sweep.yaml", "--engine", "ray", "--address",
                   cluster.address, "--out", tmp_path / "out"]  # fmt: skip
        with subprocess.Popen(
            [sys.executable, "-m", "rnnbench", *map(str, command)], text=True,
            env=cluster.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as sweep:  # fmt: skip
            lines = []
            for line in sweep.stdout:
                lines.append(line)
                if "1 running" in line:
                    break
            began = time.monotonic()
            try:
                kill_head(cluster)
            except AssertionError:
                sweep.kill()
                raise
            lines.append(sweep.stdout.read())
            assert sweep.wait() == 69, "".join(lines)
        assert time.monotonic() - began < 60  # when Ray itself would end it
        assert "has not answered for" in lines[-1]
        assert "the same command goes on" in lines[-1]
        assert "GCS may have been killed" not in lines[-1]
    finally:
        cluster.close()
