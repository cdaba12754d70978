"""The identity of a process, by which another one can tell later whether it still lives.

An identity is `host-boot-namespace:pid:start`. Process numbers are used again, after a reboot and
in every container, so a number alone would take a stranger for the owner.
"""

from __future__ import annotations

import functools
import os
import socket
import subprocess
from pathlib import Path


@functools.cache
def place() -> str:
    """Return this host since its last boot, and the namespace in which process numbers hold."""
    host = socket.gethostname().replace(":", "_")
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
        namespace = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:  # not Linux: the start time below tells most boots apart
        return host
    return f"{host}-{boot}-{namespace}"


def start_time(pid: int) -> str | None:
    """Return when a process of this host started; None: it is gone.

    The unit differs between systems: compare such times for equality only.
    """
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        try:
            # The second field is the command in parentheses, and may hold anything.
            fields = stat.read_text().rpartition(")")[2].split()
        except (OSError, UnicodeDecodeError):
            return None
        return None if fields[0] in "ZX" else fields[19]
    listed = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout.strip().replace(" ", "_").replace(":", ".") or None


def identity(pid: int) -> str:
    """Return the identity of a process of this host.

    Raises:
        ProcessLookupError: there is no process with this number.
    """
    start = start_time(pid)
    if start is None:
        raise ProcessLookupError(f"no process {pid}")
    return f"{place()}:{pid}:{start}"


def is_here(owner: str) -> bool:
    """Tell whether the owner's process, if it lives, can be seen from here."""
    return owner.split(":")[0] == place()


def is_dead(owner: str) -> bool:
    """Tell whether the owner is known to be gone; False for one that cannot be seen from here."""
    _, pid, start = owner.split(":")
    return is_here(owner) and start_time(int(pid)) != start


def stopped(owner: str) -> str:
    """Return what to do about a process that was stopped (Ctrl-Z, SIGSTOP); "" where it was not.

    Such a process still holds what it holds, and does nothing until it is continued.
    """
    _, pid, _ = owner.split(":")
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, UnicodeDecodeError):  # gone, or not Linux
        return ""
    if not is_here(owner) or is_dead(owner) or state not in "Tt":
        return ""
    return f"let it go on (kill -CONT {pid}) or end it (kill -9 {pid})"


def describe(owner: str) -> str:
    """Return words for a reader, such as "process 4711 on this host"."""
    _, pid, _ = owner.split(":")
    return f"process {pid} on {'this host' if is_here(owner) else host_of(owner)}"


def host_of(owner: str) -> str:
    """Return the name of the host of an owner's process."""
    return owner.split(":")[0].rsplit("-", 2)[0]


def busy_text(sweep: str, owner: str) -> str:
    """Return what to tell whoever would drive a sweep that `owner` drives."""
    if what_next := stopped(owner):
        return f"the sweep {sweep!r} is held by {describe(owner)}, which is stopped: {what_next}"
    return (
        f"the sweep {sweep!r} is being run by {describe(owner)}.\n"
        "  Wait for it or stop it; a copy under another `name:` can run beside it."
    )
