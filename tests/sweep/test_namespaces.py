"""A cluster of three hosts: network namespaces with addresses and names of their own.

Needs root and iproute2: `pytest -m slow -s tests/test_sweep_namespaces.py`. Runs the quickstart.
"""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from support import ROOT

BIN = Path(sys.executable).parent
HOSTS = ("rnnbench1", "rnnbench2", "rnnbench3")
NETWORK = "10.231.77"


def sh(command, **options):
    return subprocess.run(command, shell=True, check=True, text=True, **options)


class Hosts:
    """Three hosts on a bridge, without a way to the outside."""

    def __init__(self, folder):
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("RAY_")},
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
        }
        self.started = []
        sh("ip link add rnnbench0 type bridge && ip link set rnnbench0 up")
        for number, host in enumerate(HOSTS, 1):
            sh(
                f"ip netns add {host} && ip link add v{number} type veth peer name e{number} && "
                f"ip link set v{number} master rnnbench0 up && "
                f"ip link set e{number} netns {host} && "
                f"ip -n {host} addr add {NETWORK}.{number}/24 dev e{number} && "
                f"ip -n {host} link set e{number} up && ip -n {host} link set lo up && "
                f"ip -n {host} route add default dev e{number}"  # by it Ray finds its address
            )

    def on(self, host, command):
        inner = f"hostname {host}; exec {command}"
        return ["ip", "netns", "exec", host, "unshare", "--uts", "sh", "-c", inner]

    def start(self, host, command):
        process = subprocess.Popen(self.on(host, command), env=self.environment, cwd=ROOT)
        self.started.append(process)

    def run(self, host, command, timeout):
        return subprocess.run(
            self.on(host, command), env=self.environment, cwd=ROOT, capture_output=True,
            text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def run_until_joined(self, command):
        """Run a command until its output names every host; return its result."""
        deadline = time.monotonic() + 240
        while True:
            done = self.run(HOSTS[0], command, 120)
            if all(host in done.stdout for host in HOSTS) or time.monotonic() > deadline:
                return done
            time.sleep(3)

    def close(self):
        for process in self.started:
            process.terminate()
        for process in self.started:
            process.wait(30)
        for host in HOSTS:
            subprocess.run(f"ip netns pids {host} | xargs -r kill -9", shell=True, check=False)
            subprocess.run(["ip", "netns", "del", host], check=False)
        subprocess.run(["ip", "link", "del", "rnnbench0"], check=False)


@pytest.mark.slow
def test_three_hosts_agree_and_run_the_quickstart(tmp_path):
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("needs root and iproute2")
    hosts = Hosts(tmp_path)
    sockets = tempfile.mkdtemp(prefix="ray-")  # the paths of sockets must be short
    address, out = f"{NETWORK}.1:6379", tmp_path / "results"
    try:
        hosts.start(
            HOSTS[0],
            f"ray start --head --block --num-cpus=0 --node-ip-address={NETWORK}.1 --port=6379 "
            f"--include-dashboard=false --temp-dir={sockets}",
        )
        for number, host in enumerate(HOSTS[1:], 2):
            hosts.start(
                host,
                f"sh -c 'until ray start --block --address={address} --num-cpus=1 "
                f"--node-ip-address={NETWORK}.{number}; do sleep 3; done'",
            )
        checked = hosts.run_until_joined(f"rnnbench cluster check --address {address} --out {out}")
        print(checked.stdout, checked.stderr)
        assert checked.returncode == 0
        assert all(host in checked.stdout for host in HOSTS)
        swept = hosts.run(
            HOSTS[0],
            f"rnnbench sweep sweeps/quickstart.yaml --engine ray --address {address} --out {out}",
            2400,  # three minutes on a machine of its own
        )
        print(swept.stdout[-3000:], swept.stderr[-2000:])
        assert swept.returncode == 0
        assert "54 of 54 final runs done" in swept.stdout
    finally:
        hosts.close()
        shutil.rmtree(sockets, ignore_errors=True)
