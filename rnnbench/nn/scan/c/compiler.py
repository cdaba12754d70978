"""C compiled to libraries, which are cached in the user's cache folder and loaded.

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

from rnnbench.nn.scan.unsupported import KernelFailed, Unsupported

# No -ffast-math: NaN and infinities must come through, or a diverged run would not be seen.
FLAGS = ("-O3", "-march=native", "-mprefer-vector-width=512", "-fno-math-errno",
         "-fno-trapping-math", "-std=gnu11", "-shared", "-fPIC", "-w")  # fmt: skip
_loaded: dict[str, ctypes.CDLL] = {}


@functools.cache
def compiler() -> tuple[str, str] | None:
    """Return path and version of a C compiler, None where there is none."""
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        path = shutil.which(name) if name else None
        if path is None:
            continue
        answer = subprocess.run([path, "--version"], capture_output=True, text=True)
        if answer.returncode == 0:
            return path, answer.stdout.splitlines()[0]
    return None


@functools.cache
def processor() -> str:
    """Return a description of the processor, on which -march=native depends."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = re.findall(r"^(?:model name|flags|Features)\s*:.*$", info.read_text(), re.MULTILINE)
        return "\n".join(sorted(set(lines)))
    return f"{platform.machine()} {platform.processor()}"


def folder() -> Path:
    """Return the cache folder of built libraries."""
    return Path(platformdirs.user_cache_dir("rnnbench", appauthor=False)) / "kernels"


def library(source: str, double: bool) -> ctypes.CDLL:
    """Return the library of a source, built or from the cache.

    Args:
        double: compute in float64, else in float32.
    Raises:
        Unsupported: there is no compiler.
        KernelFailed: it refuses; the message quotes it.
    """
    name = file_name(source, double)
    if name not in _loaded:
        try:
            _loaded[name] = ctypes.CDLL(str(_build(source, double, name)))
        except OSError:  # damaged: built once more
            (folder() / name).unlink(missing_ok=True)
            try:
                _loaded[name] = ctypes.CDLL(str(_build(source, double, name)))
            except OSError as error:
                raise KernelFailed(f"the kernel cannot be loaded: {error}") from error
    return _loaded[name]


def file_name(source: str, double: bool) -> str:
    """Return the name of a source's library in the cache.

    Raises:
        Unsupported: there is no compiler.
    """
    path, version = _required_compiler()
    identity = "\0".join([source, version, *_flags(path, double), processor()])
    return hashlib.sha256(identity.encode()).hexdigest()[:24] + ".so"


def _required_compiler() -> tuple[str, str]:
    """Return path and version of a C compiler, or raise Unsupported."""
    path_and_version = compiler()
    if path_and_version is None:
        raise Unsupported("no C compiler was found (cc, gcc or clang; or set CC)")
    return path_and_version


def _flags(path: str, double: bool) -> list[str]:
    return [*(f for f in FLAGS if _understands(path, f)), *([] if double else ["-DSINGLE"])]


@functools.cache
def _understands(path: str, flag: str) -> bool:
    """Tell whether a compiler knows a flag that not all do."""
    if not flag.startswith("-m"):
        return True
    command = [path, flag, "-x", "c", "-fsyntax-only", "-"]
    return subprocess.run(command, input="", capture_output=True, text=True).returncode == 0


def _build(source: str, double: bool, name: str) -> Path:
    """Compile a source unless the cache has it; return the library's path."""
    home = folder()
    target = home / name
    if target.exists():
        return target
    path, _ = _required_compiler()
    temporary = home / f".{secrets.token_hex(6)}.{name}"
    command = [path, *_flags(path, double), "-x", "c", "-", "-o", str(temporary), "-lm"]
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        result = subprocess.run(command, input=source, capture_output=True, text=True, timeout=120)
        if result.returncode:
            raise KernelFailed(f"{path} refuses the kernel: {result.stderr.strip()[:300]}")
        os.replace(temporary, target)  # whole or absent, whoever else builds it now
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelFailed(f"the kernel could not be built in {home}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return target
