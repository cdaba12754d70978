"""From C to a loaded library, cached in the user's cache folder.

The name of a library is a hash of its source, the compiler, its flags and the processor (a cache
folder may be shared between machines), so a stale one is never found.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import re
import secrets
import shutil
import subprocess
from pathlib import Path

import platformdirs

from rnnbench.nn.scan.trace_step import KernelFailed, Unsupported

# No -ffast-math: NaN and infinities must come through, or a diverged run would not be seen.
FLAGS = ("-O3", "-march=native", "-mprefer-vector-width=512", "-fno-math-errno",
         "-fno-trapping-math", "-std=gnu11", "-shared", "-fPIC", "-w")  # fmt: skip
_loaded: dict[str, ctypes.CDLL] = {}


@functools.cache
def compiler() -> tuple[str, str] | None:
    """Path and version of a C compiler, None where there is none."""
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        path = shutil.which(name) if name else None
        if path is None:
            continue
        told = subprocess.run([path, "--version"], capture_output=True, text=True)
        if told.returncode == 0:
            return path, told.stdout.splitlines()[0]
    return None


@functools.cache
def processor() -> str:
    """What -march=native depends on."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.findall(r"^(?:model name|flags|Features)\s*:.*$", info.read_text(), re.MULTILINE)
        return "\n".join(sorted(set(found)))
    return f"{platform.machine()} {platform.processor()}"


def folder() -> Path:
    return Path(platformdirs.user_cache_dir("rnnbench", appauthor=False)) / "kernels"


def library(source: str, double: bool) -> ctypes.CDLL:
    """Build a source, or take it from the cache.

    Args:
        double: compute in float64, else in float32.
    Raises:
        Unsupported: there is no compiler.
        Failed: it refuses; the message quotes it.
    """
    name = file_name(source, double)
    if name not in _loaded:
        try:
            _loaded[name] = ctypes.CDLL(str(_built(source, double, name)))
        except OSError:  # damaged: built once more
            (folder() / name).unlink(missing_ok=True)
            try:
                _loaded[name] = ctypes.CDLL(str(_built(source, double, name)))
            except OSError as error:
                raise KernelFailed(f"the kernel cannot be loaded: {error}") from error
    return _loaded[name]


def file_name(source: str, double: bool) -> str:
    """What the library of a source is called in the cache.

    Raises:
        Unsupported: there is no compiler.
    """
    path, version = _compiler()
    named = "\0".join([source, version, *_flags(path, double), processor()])
    return hashlib.sha256(named.encode()).hexdigest()[:24] + ".so"


def _compiler() -> tuple[str, str]:
    found = compiler()
    if found is None:
        raise Unsupported("no C compiler was found (cc, gcc or clang; or set CC)")
    return found


def _flags(path: str, double: bool) -> list[str]:
    return [*(f for f in FLAGS if _understands(path, f)), *([] if double else ["-DSINGLE"])]


@functools.cache
def _understands(path: str, flag: str) -> bool:
    """Whether a compiler knows a flag that not all do."""
    if not flag.startswith("-m"):
        return True
    command = [path, flag, "-x", "c", "-fsyntax-only", "-"]
    return subprocess.run(command, input="", capture_output=True, text=True).returncode == 0


def _built(source: str, double: bool, name: str) -> Path:
    home = folder()
    target = home / name
    if target.exists():
        return target
    path, _ = _compiler()
    temporary = home / f".{secrets.token_hex(6)}.{name}"
    command = [path, *_flags(path, double), "-x", "c", "-", "-o", str(temporary), "-lm"]
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        told = subprocess.run(command, input=source, capture_output=True, text=True, timeout=120)
        if told.returncode:
            raise KernelFailed(f"{path} refuses the kernel: {told.stderr.strip()[:300]}")
        os.replace(temporary, target)  # whole or absent, whoever else builds it now
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelFailed(f"the kernel could not be built in {home}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return target
