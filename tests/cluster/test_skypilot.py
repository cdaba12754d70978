"""The `run` part of `cluster/skypilot/sweep.yaml` as it is shipped, on two hosts: ranks 0 and 1."""

import os
import sys
import time

import pytest
import yaml
from support import ROOT
from support.hosts import TINY_SWEEP, missing, running_hosts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=f"no hosts can be made here: {missing()}"),
]
RUN = yaml.safe_load((ROOT / "cluster/skypilot/sweep.yaml").read_text())["run"]


def test_both_ranks_run_the_sweep_and_end_so_that_the_job_does_not_bill_on(tmp_path):
    (tmp_path / "rnnbench-env").symlink_to(sys.prefix)
    (tmp_path / ".ray").mkdir()
    token = tmp_path / ".ray/auth_token"
    token.touch(mode=0o600)
    token.write_text("0" * 64)
    (tmp_path / "sweep.yaml").write_text(TINY_SWEEP)
    (tmp_path / "run.sh").write_text(RUN)
    with running_hosts(tmp_path, ["h0", "h1"]) as hosts:
        ranks = [
            hosts.start(
                host,
                f"cd {tmp_path} && bash run.sh",
                {
                    **os.environ,
                    "HOME": str(tmp_path),
                    "SWEEP": "sweep.yaml",
                    "RESULTS": str(tmp_path / "results"),
                    "SKYPILOT_NODE_RANK": str(rank),
                    "SKYPILOT_NUM_NODES": "2",
                    "SKYPILOT_NODE_IPS": "\n".join(hosts.addresses.values()),
                },
                tmp_path / f"rank{rank}.log",
            )
            for rank, host in enumerate(hosts.addresses)
        ]
        deadline = time.monotonic() + 500
        while any(rank.poll() is None for rank in ranks) and time.monotonic() < deadline:
            if any(rank.poll() for rank in ranks):
                break
            time.sleep(0.5)
        codes = [rank.poll() for rank in ranks]
    output = (tmp_path / "rank0.log").read_text()
    assert codes == [0, 0], output + (tmp_path / "rank1.log").read_text()
    assert "all 2 nodes are here" in output
    assert "sweep tiny complete: 2 trials done, 0 pruned, 0 failed, 2 of 2 final runs" in output
