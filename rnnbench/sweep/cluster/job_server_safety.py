"""Refuses a job server that is not safe to use: a stranger could read the token, or run code."""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from rnnbench.errors import UserError
from rnnbench.sweep.cluster.connection import OPEN

ASK_SECONDS = 15.0


class SubmitError(UserError, RuntimeError):
    """The cluster cannot be used, or not safely; the message says why, and what to do."""

    exit_code = 1


def token_file() -> Path | None:
    """Return the file from which Ray would read the token; None where it uses no file."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return None
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH", "~/.ray/auth_token")).expanduser()


def refuse_unsafe(address: str, say: Callable[[str], None]) -> None:
    """Raise SubmitError where a stranger could read the token, or run code on the cluster."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SubmitError(
            f"{address!r} is no address of a job server; it looks like http://127.0.0.1:8265"
        )
    if parts.username or parts.password:
        raise SubmitError(
            "the address holds a login: a command line can be seen by all users of this machine. "
            "Put the token into a file, and name it in RAY_AUTH_TOKEN_PATH"
        )
    local = _is_loopback(parts.hostname)
    if parts.scheme == "http" and not local and os.environ.get(OPEN) != "1":
        raise SubmitError(
            f"{address} is plain http to another machine: whoever listens on the way reads the "
            "token, and can then run code on the cluster.\n"
            f"  Tunnel it: ssh -N -L 8265:127.0.0.1:8265 {parts.hostname}, or `ray dashboard "
            "cluster.yaml`, and give --address http://127.0.0.1:8265.\n"
            f"  Where a network keeps strangers out, set {OPEN}=1."
        )
    if _answers_to_anyone(address):
        if not local and os.environ.get(OPEN) != "1":
            raise SubmitError(
                f"{address} takes jobs without a token: whoever reaches it can run code on it.\n"
                "  Start the cluster with RAY_AUTH_MODE=token (cluster/README.md)."
            )
        say(
            f"warning: {address} takes jobs without a token, from every user of that machine; "
            "start the cluster with RAY_AUTH_MODE=token (cluster/README.md)"
        )
    file = token_file() if os.environ.get("RAY_AUTH_MODE") == "token" else None
    if file is not None and file.is_file() and stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise SubmitError(
            f"the token in {file} can be read by other users of this machine: chmod 600 {file}"
        )


def _is_loopback(host: str) -> bool:
    try:
        addresses = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    ips = [ipaddress.ip_address(address.split("%")[0]) for address in addresses]
    return bool(ips) and all(ip.is_loopback for ip in ips)


def _answers_to_anyone(address: str) -> bool:
    import requests

    try:
        answer = requests.get(f"{address.rstrip('/')}/api/jobs/", timeout=ASK_SECONDS)
    except requests.RequestException:
        return False  # what is wrong with it is said when it is asked in earnest
    return answer.status_code == 200
