"""`cluster/slurm/sweep.sbatch` as it is shipped, submitted to a real Slurm of two nodes.

What the script does with signals and exit codes is seen with stand-ins for `ray` and `rnnbench`,
which start at once; that a sweep runs to its end, with the real ones.
"""

import stat
import sys
import time

import pytest
from support import ROOT
from support.hosts import TINY_SWEEP
from support.slurm import missing, running_slurm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=f"no Slurm can be started here: {missing()}"),
]
SCRIPT = ROOT / "cluster/slurm/sweep.sbatch"
PREEMPTION = """
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
"""
TWO_PRIORITIES = """
PartitionName=low Nodes={nodes} Default=YES PriorityTier=1 GraceTime=30 State=UP
PartitionName=high Nodes={nodes} PriorityTier=9 State=UP
"""
# The two ends of a pre-emption with time to stop; the name of the first depends on the version.
WARNED = PREEMPTION + "SlurmctldParameters=preempt_send_user_signal\n"

RAY = """#!/bin/bash
echo "$@" >>"$RECIPE_LOG.ray-$(hostname)"
touch "$RECIPE_LOG.up-${SLURM_RESTART_COUNT:-0}-$(hostname)"
[ "$1" = start ] && exec sleep 600
"""
# Ends with what $PLAN has on the line of this start; "work" goes on until it is told to stop, or
# until a node's Ray is gone. A driver writes what it does.
RNNBENCH = """#!/bin/bash
say() { echo "$SLURM_RESTART_COUNT:$*" >>"$RECIPE_LOG"; }
if [ "$1" = cluster ]; then # like the real one, it returns when the Ray of each node has started
    up="$RECIPE_LOG.up-${SLURM_RESTART_COUNT:-0}"
    until [ "$(ls "$up-"* 2>/dev/null | wc -l)" -ge "${*: -3:1}" ]; do sleep 0.1; done
    say "waited for ${*: -3:1}"
    exit 0
fi
trap 'say stopped; exit 75' USR1
plan=$(sed -n "$((${SLURM_RESTART_COUNT:-0} + 1))p" "$PLAN")
say "driver: $plan"
[ "$plan" = work ] || exit "$plan"
while sleep 0.2; do
    if ! squeue -h -s -j "$SLURM_JOB_ID" -o %i | grep -q '\\.0$'; then
        say "lost Ray"
        exit 69
    fi
done
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    with running_slurm(folder, 2, PREEMPTION, TWO_PRIORITIES) as slurm:
        yield slurm


@pytest.fixture
def submit(slurm, tmp_path):
    return Submitter(slurm, tmp_path)


class Submitter:
    """Submits the script with stand-ins whose starts end as a plan says."""

    def __init__(self, slurm, folder):
        self.slurm, self.folder = slurm, folder
        for name, text in {"ray": RAY, "rnnbench": RNNBENCH}.items():
            program = folder / "env/bin" / name
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text(text)
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
        (folder / "sweep.yaml").touch()

    def __call__(self, *plan, options=()):
        (self.folder / "plan").write_text("\n".join(map(str, plan)) + "\n")
        self.slurm.environment |= {
            "RNNBENCH_ENV": str(self.folder / "env"),
            "HOME": str(self.folder),
            "RECIPE_LOG": str(self.folder / "log"),
            "PLAN": str(self.folder / "plan"),
        }
        return self.slurm.submit(
            "--chdir", str(self.folder), *options, str(SCRIPT), "sweep.yaml", "results"
        )

    def wait_for_driver(self, line="driver: work", seconds=60):
        deadline = time.monotonic() + seconds
        while line not in self.log:
            assert time.monotonic() < deadline, f"{self.log}\n{self.output}"
            time.sleep(0.1)

    @property
    def log(self):
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    @property
    def output(self):
        return "\n".join(p.read_text() for p in self.folder.glob("rnnbench-*.log"))


def ended(slurm, job):
    return slurm.wait(job, "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")


def test_a_sweep_that_ends_frees_all_nodes_at_once(slurm, submit):
    job = submit(0)
    assert ended(slurm, job)["JobState"] == "COMPLETED", submit.output
    assert ":waited for 2" in submit.log
    (head,) = (submit.folder / "log.ray-n1").read_text().splitlines()
    assert "--head" in head
    assert "--include-dashboard=false" in head
    (other,) = (submit.folder / "log.ray-n2").read_text().splitlines()
    assert "--include-dashboard" not in other
    assert "--address=n1:" in other
    deadline = time.monotonic() + 120
    while slurm.call("sinfo", "-h", "-p", "low", "-o", "%T").split() != ["idle"]:
        assert time.monotonic() < deadline, slurm.call("sinfo", "-N", "-l")
        time.sleep(0.2)


def test_a_sweep_that_stopped_in_order_goes_on_in_another_start(slurm, submit):
    job = ended(slurm, submit(75, 75, 0))
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "2"), submit.output


def test_the_time_limit_is_announced_to_the_driver_and_the_sweep_goes_on(slurm, submit):
    job = ended(slurm, submit("work", 0, options=["--time=1"]))
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1"), submit.output
    assert "stopped" in submit.log


def test_a_lost_cluster_or_database_is_tried_again_but_not_for_ever(slurm, submit, monkeypatch):
    monkeypatch.setitem(slurm.environment, "RNNBENCH_RESTARTS", "2")
    job = ended(slurm, submit(69, 75, *[69] * 9))
    assert (job["JobState"], job["Restarts"], job["ExitCode"]) == ("FAILED", "4", "69:0")


def test_a_driver_that_a_signal_killed_is_started_again(slurm, submit):
    job = ended(slurm, submit(137, 139, 0))
    assert (job["JobState"], job["Restarts"], job["ExitCode"]) == ("COMPLETED", "2", "0:0")


def test_a_sweep_that_failed_is_not_started_again(slurm, submit):
    job = ended(slurm, submit(1, 0))
    assert (job["JobState"], job["Restarts"], job["ExitCode"]) == ("FAILED", "0", "1:0")


def test_a_cancelled_sweep_is_not_started_again(slurm, submit):
    number = submit("work", 0)
    submit.wait_for_driver()
    slurm.call("scancel", number)
    job = ended(slurm, number)
    assert (job["JobState"], job["Restarts"]) == ("CANCELLED", "0"), submit.output


def test_a_pre_emption_without_a_warning_is_survived(slurm, submit):
    number = submit("work", 0)
    submit.wait_for_driver()
    urgent = slurm.submit(
        "--chdir", str(submit.folder), "-p", "high", "-N2", "--exclusive", "--wrap", "sleep 1"
    )
    assert ended(slurm, urgent)["JobState"] == "COMPLETED"
    job = ended(slurm, number)
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1"), submit.output + submit.log


def test_a_pre_emption_with_a_warning_lets_the_sweep_stop_in_order(tmp_path):
    (tmp_path / "slurm").mkdir()
    with running_slurm(tmp_path / "slurm", 2, WARNED, TWO_PRIORITIES) as slurm:
        submit = Submitter(slurm, tmp_path)
        number = submit("work", 0)
        submit.wait_for_driver()
        slurm.submit(
            "--chdir", str(tmp_path), "-p", "high", "-N2", "--exclusive", "--wrap", "sleep 1"
        )
        job = ended(slurm, number)
        assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1"), submit.output
        assert "\n:stopped" in submit.log


def test_the_sweep_itself_runs_on_both_nodes(slurm, tmp_path):
    environment = tmp_path / "env"
    environment.symlink_to(sys.prefix)
    (tmp_path / "sweep.yaml").write_text(TINY_SWEEP)
    slurm.environment |= {"RNNBENCH_ENV": str(environment), "HOME": str(tmp_path)}
    job = slurm.submit(
        "--chdir", str(tmp_path), str(SCRIPT), str(tmp_path / "sweep.yaml"), str(tmp_path / "out")
    )
    job = slurm.wait(job, "COMPLETED", "FAILED", seconds=600)
    output = "\n".join(p.read_text() for p in tmp_path.glob("rnnbench-*.log"))
    assert job["JobState"] == "COMPLETED", output
    assert "all 2 nodes are here: n1, n2" in output
    assert "sweep tiny complete: 2 trials done, 0 pruned, 0 failed, 2 of 2 final runs" in output
