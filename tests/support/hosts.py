"""Several hosts on this machine: name spaces with an address, processes and loopback of their own.

They share the disk, as hosts with a shared home do, and reach each other and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

NETWORK = "10.77.0"
# A sweep of a minute, for tests of how a cluster starts one.
TINY_SWEEP = """
name: tiny
tasks: [{name: adding, length: 10}]
architectures: [elman, gru]
settings: {adding: {budget.steps: 60, budget.validate_every: 30}}
search: {trials: 1, space: {optimizer.lr: {low: 1e-3, high: 1e-2}}}
final: {seeds: [1]}
workers: 2
"""


def missing(*tools: str) -> str:
    """Return what hosts that need these programs lack here, or "" where they can be started."""
    absent = [tool for tool in (*tools, "ip", "unshare") if not shutil.which(tool)]
    if absent:
        return f"not installed: {', '.join(absent)}"
    if os.geteuid():
        return "name spaces of this kind need root"
    probe = ["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "true"]
    return subprocess.run(probe, capture_output=True, text=True, check=False).stderr.strip()


class Hosts:
    """The hosts, by name; the first one is where the others' network meets.

    Attributes:
        addresses: host -> its address.
    """

    def __init__(self, folder: Path, names: list[str]) -> None:
        self.folder, self._tag = folder, f"rb{secrets.token_hex(3)}"
        self.addresses = {name: f"{NETWORK}.{i + 1}" for i, name in enumerate(names)}
        self._running: list[subprocess.Popen[bytes]] = []
        lines = ["127.0.0.1 localhost", *(f"{a} {name}" for name, a in self.addresses.items())]
        (folder / "hosts").write_text("\n".join(lines) + "\n")

    def on(self, host: str, *command: str) -> list[str]:
        """Return a command line that runs `command` in the network of a host."""
        return ["ip", "netns", "exec", f"{self._tag}-{host}", *command]

    def start(
        self, host: str, command: str, environment: dict[str, str], log: Path
    ) -> subprocess.Popen[bytes]:
        """Start a command of the shell as all that runs on a host, with its output in `log`."""
        own = f"{self.folder}/ray-{host}"  # Ray notes in a folder of the machine what runs on it
        setup = (
            f"mount --bind {self.folder}/hosts /etc/hosts && hostname {host}"
            f" && mkdir -p /tmp/ray {own} && mount --bind {own} /tmp/ray"
            f" && mount -t tmpfs -o size=2g shm /dev/shm && {command}"
        )
        separate = ["unshare", "--uts", "--mount", "--pid", "--mount-proc", "--kill-child"]
        with open(log, "ab") as output:
            process = subprocess.Popen(
                self.on(host, *separate, "bash", "-c", setup),
                env=environment,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
            )
        self._running.append(process)
        return process

    def connect(self) -> None:
        """Make a name space for every host, and join them by a bridge in the first one's."""
        first, *others = self.addresses
        _ip("netns", "add", f"{self._tag}-{first}")
        inside = ("-n", f"{self._tag}-{first}")
        _ip(*inside, "link", "set", "lo", "up")
        _ip(*inside, "link", "add", "bridge", "type", "bridge")
        _ip(*inside, "address", "add", f"{self.addresses[first]}/24", "dev", "bridge")
        _ip(*inside, "link", "set", "bridge", "up")
        for name in others:
            host = f"{self._tag}-{name}"
            pair = ("type", "veth", "peer", "name", "eth0", "netns", host)
            _ip("netns", "add", host)
            _ip(*inside, "link", "add", name, *pair)
            _ip(*inside, "link", "set", name, "master", "bridge", "up")
            _ip("-n", host, "link", "set", "lo", "up")
            _ip("-n", host, "address", "add", f"{self.addresses[name]}/24", "dev", "eth0")
            _ip("-n", host, "link", "set", "eth0", "up")

    def close(self) -> None:
        """End all that runs on the hosts, and remove them."""
        for process in self._running:  # each takes its name space of processes with it
            process.kill()
            process.wait()
        for host in self.addresses:
            name = f"{self._tag}-{host}"
            pids = subprocess.run(
                ["ip", "netns", "pids", name], capture_output=True, text=True, check=False
            )
            for pid in pids.stdout.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), 9)
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


@contextlib.contextmanager
def running_hosts(folder: Path, names: list[str]) -> Iterator[Hosts]:
    """Have hosts of these names within `with`; `folder` takes what they write."""
    hosts = Hosts(folder, names)
    try:
        hosts.connect()
        yield hosts
    finally:
        hosts.close()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
