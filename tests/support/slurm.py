"""Starts a real Slurm (Debian's `slurm-wlm` and `munge`) on hosts of `support.hosts`."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from support import hosts as of_hosts
from support.hosts import Hosts, running_hosts

CONF = """
ClusterName=rnnbench
SlurmctldHost=ctl({ctl})
SlurmctldPort=6917
SlurmdPort=6918
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
KillWait=5
SlurmdTimeout=15
MessageTimeout=30
InactiveLimit=0
MinJobAge=3600
OverTimeLimit=0
{extra}
NodeName={nodes} NodeAddr={addresses} CPUs=2 RealMemory=4000 State=UNKNOWN
{partitions}
"""
PARTITIONS = "PartitionName=all Nodes={nodes} Default=YES MaxTime=INFINITE State=UP"


def missing() -> str:
    """Return what a Slurm of several nodes lacks here, or "" where one can be started."""
    return of_hosts.missing("slurmctld", "slurmd", "munged")


@dataclass
class Slurm:
    """A running Slurm, and the commands that reach it, from the host "ctl"."""

    hosts: Hosts
    environment: dict[str, str] = field(default_factory=dict)

    def call(self, *command: str, check: bool = True) -> str:
        """Run a command of Slurm on the host of the controller, and return what it printed."""
        result = subprocess.run(
            self.hosts.on("ctl", *command),
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=60,
            check=False,
        )
        if check and result.returncode:
            raise AssertionError(f"{' '.join(command)}: {result.stdout}{result.stderr}")
        return result.stdout + result.stderr

    def submit(self, *arguments: str) -> str:
        """Submit a script with `sbatch`, and return the id of the job."""
        return self.call("sbatch", "--parsable", *arguments).split()[0]

    def job(self, number: str) -> dict[str, str]:
        """Return what `scontrol show job` tells of a job, by field."""
        text = self.call("scontrol", "show", "job", number, "--oneliner")
        return dict(part.split("=", 1) for part in text.split() if "=" in part)

    def wait(self, number: str, *states: str, seconds: float = 300) -> dict[str, str]:
        """Wait until a job is in one of these states, and return what Slurm tells of it."""
        deadline = time.monotonic() + seconds
        while (job := self.job(number))["JobState"] not in states:
            if time.monotonic() > deadline:
                raise AssertionError(f"after {seconds} s: {job}\n{self.call('sinfo', '-N', '-l')}")
            time.sleep(0.5)
        return job


@contextlib.contextmanager
def running_slurm(
    folder: Path, nodes: int = 2, extra: str = "", partitions: str = PARTITIONS
) -> Iterator[Slurm]:
    """Run a Slurm of so many nodes, n1, n2, ..., within `with`.

    Args:
        extra: further lines of `slurm.conf`.
        partitions: its lines of partitions, with `{nodes}` for all of them.
    """
    names = [f"n{i + 1}" for i in range(nodes)]
    with running_hosts(folder, ["ctl", *names]) as hosts:
        slurm = Slurm(hosts, {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")})
        _configure(folder, hosts, names, extra, partitions)

        def start(host: str, command: str) -> None:
            hosts.start(host, f"exec {command}", slurm.environment, folder / f"start-{host}.log")

        start(
            "ctl",
            f"munged --foreground --force --socket={folder}/munge.socket "
            f"--key-file={folder}/munge.key --pid-file={folder}/munge.pid "
            f"--log-file={folder}/munge.log --seed-file={folder}/munge.seed",
        )
        _until((folder / "munge.socket").exists, folder)
        start("ctl", "slurmctld -D")
        for name in names:
            start(name, "slurmd -D")
        idle = ["idle", str(nodes)]
        _until(lambda: slurm.call("sinfo", "-h", "-o", "%T %D").split()[:2] == idle, folder)
        yield slurm


def _configure(folder: Path, hosts: Hosts, names: list[str], extra: str, partitions: str) -> None:
    """Write the files that Slurm and munge read."""
    for name in ("state", *(f"spool-{n}" for n in names)):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    every = ",".join(names)
    text = CONF.format(
        folder=folder,
        ctl=hosts.addresses["ctl"],
        nodes=every,
        addresses=",".join(hosts.addresses[n] for n in names),
        extra=extra,
        partitions=partitions.format(nodes=every),
    )
    (folder / "slurm.conf").write_text(text)
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")  # v2 would ask for systemd


def _until(ready: Callable[[], bool], folder: Path, seconds: float = 120) -> None:
    """Wait until `ready()`; an AssertionError after so many seconds shows the logs."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(AssertionError):
            if ready():
                return
        if time.monotonic() > deadline:
            logs = "\n".join(f"{p.name}:\n{p.read_text()[-2000:]}" for p in folder.glob("*.log"))
            raise AssertionError(f"Slurm did not start:\n{logs}")
        time.sleep(0.2)
