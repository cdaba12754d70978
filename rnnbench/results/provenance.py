"""Collects where a result comes from: code, packages, hardware, command. No torch, no secrets.

Neither environment variables nor the host's name nor the user's are collected; the command
line passes `redact`.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

PACKAGES = ("torch", "pytorch-lightning", "numpy", "optuna", "ray", "sacrebleu", "torchmetrics")
GROUPS = ("rnnbench.architectures", "rnnbench.tasks", "rnnbench.tricks")
MASK = "***"

# The last word of a name decides: `api_key`, `WANDB_API_KEY` and `auth-token` are secret,
# `budget.tokens` is not.
_SECRET = r"""(?<![a-z]) (?:api|access|auth|secret|private)? (?:key|token|secret|password|passwd|
    pwd|credentials?|auth|authorization|cookie)"""
_NAMED = re.compile(
    rf"""(?ix) ( {_SECRET} ["']? \s*[=:]\s* | --?[\w.-]*? {_SECRET} \s+ )
        ( "[^"]*" | '[^']*' | (?:bearer\s+|basic\s+)? [^\s&'",;]+ )"""
)
_ARGUMENT = re.compile(rf"(?isx) ( [^=\s]*? {_SECRET} ) (?: $ | = .* )")
_SHAPES = re.compile(
    r"""(?x) (?<![A-Za-z0-9]) (?:
        (?:sk|pk|rk)-[A-Za-z0-9_-]{12,} | gh[a-z]_[A-Za-z0-9]{16,} | github_pat_\w{16,}
      | hf_[A-Za-z0-9]{16,} | glpat-[\w-]{16,} | xox[a-z]-[\w-]{8,} | (?:AKIA|ASIA)[A-Z0-9]{16}
      | wandb_v\d_\w{16,} | eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?
      | (?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{24,} )"""
)
_LOGIN = re.compile(r"(?<=://)[^/\s@]+@")


def redact(text: str) -> str:
    """Mask what looks like a key, a token, a password, or the login of an address.

    Errs on the side of masking: a long string of mixed letters and digits is masked too.
    """
    text = _LOGIN.sub(f"{MASK}@", text)
    text = _NAMED.sub(rf"\g<1>{MASK}", text)
    return _SHAPES.sub(MASK, text)


def redact_command(argv: Sequence[str]) -> str:
    """Return the command line for a shell, without secrets, home and the program's folder."""
    shown, mask_next = [], False
    for index, argument in enumerate(argv):
        secret = _ARGUMENT.fullmatch(argument)
        if mask_next:
            mask_next = False
            shown.append(MASK)
        elif index == 0:
            shown.append(Path(argument).name)
        elif secret and "=" in argument:
            shown.append(f"{secret[1]}={MASK}")
        else:
            mask_next = bool(secret) and argument.startswith("-")
            shown.append(redact(argument))
    home = os.path.expanduser("~")
    text = " ".join(a if a == MASK else shlex.quote(a) for a in shown)
    return re.sub(rf"{re.escape(home)}(?=[/'\"\s]|$)", "~", text) if len(home) > 1 else text


def provenance(command: Sequence[str] | None = None, device: str | None = None) -> dict[str, Any]:
    """Return what a record says about where it was made.

    Args:
        command: the command line, `sys.argv` by default; it is redacted.
        device: what the run computes on, such as "cpu" or the name of its GPU.
    Returns:
        command, python, os, packages {name: version}, distributions {name: {version, commit,
        dirty}} of rnnbench and of every distribution with plugins, and machine {cpu, cores,
        gpus, device}. What cannot be found out is None.
    """
    return {
        "command": redact_command(sys.argv if command is None else command),
        "python": platform.python_version(),
        "os": f"{platform.system()} {platform.release()}",
        "packages": {name: _version_of(name) for name in PACKAGES},
        "distributions": {k: dict(v) for k, v in _distributions().items()},
        "machine": {**_machine(), "cores": _cores(), "device": device},
    }


@functools.cache
def _version_of(name: str) -> str | None:
    """Return a package's version; cached, as this process keeps the code it started with."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def _distributions() -> dict[str, dict[str, Any]]:
    """Find rnnbench and all plugins; cached, as this process keeps the code it started with."""
    distributions = {}
    for distribution in importlib.metadata.distributions():
        # A malformed entry_points.txt of a stranger must not stop every run; the registry
        # reports it where plugins are listed.
        text = distribution.read_text("entry_points.txt") or ""
        if any(f"[{group}]" in text for group in GROUPS):
            source = _source_folder(distribution)
            distributions[distribution.name] = {
                "version": distribution.version,
                **_commit_of(source),
            }
    return dict(sorted(distributions.items()))


def _source_folder(distribution: importlib.metadata.Distribution) -> Path | None:
    """Return the folder that an editable installation points to, else None."""
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    if not origin.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlparse(origin["url"]).path))


def _commit_of(folder: Path | None) -> dict[str, Any]:
    """Return the commit of a source folder, and whether its tracked files differ from it."""
    unknown = {"commit": None, "dirty": None}
    if folder is None or shutil.which("git") is None:
        return unknown

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(folder), *arguments]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=10)
        except subprocess.TimeoutExpired:
            return None
        return answer.stdout.strip() if answer.returncode == 0 else None

    # The folder may lie inside a repository that does not track it.
    if git("ls-files", "--error-unmatch", "pyproject.toml") is None:
        return unknown
    changes = git("status", "--porcelain", "--untracked-files=no")
    return {"commit": git("rev-parse", "HEAD"), "dirty": None if changes is None else changes != ""}


@functools.cache
def _machine() -> dict[str, Any]:
    return {"cpu": _cpu(), "gpus": _gpus()}


def _cpu() -> str | None:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        model = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        if model:
            return " ".join(model[1].split())
    return platform.processor() or platform.machine() or None


def _gpus() -> list[str]:
    """List the models of the machine's NVIDIA GPUs, as its driver tells them."""
    texts = (p.read_text() for p in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")))
    matches = (re.search(r"^Model:\s*(.+)$", text, re.MULTILINE) for text in texts)
    return [match[1].strip() for match in matches if match]


def _cores() -> int | None:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
