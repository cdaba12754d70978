"""What a worker uses of its machine: memory of the process, and its GPUs as NVML tells them."""

from __future__ import annotations

import functools
import os
import warnings
from pathlib import Path
from typing import Any

Gpu = tuple[float, int, int]  # share of the time in use, bytes held, bytes there are


def memory_held() -> int:
    """Bytes of memory that this process holds, shared libraries included; 0 where unknown."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # not Linux
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def gpus_in_use() -> dict[str, Gpu]:
    """The GPUs that this process may use, by id; {} where there is none, or no driver."""
    nvml = _nvml()
    if nvml is None:
        return {}
    found = {}
    for handle in _visible(nvml):
        try:
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            share = nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
            found[str(nvml.nvmlDeviceGetUUID(handle))] = (
                share,
                int(memory.used),
                int(memory.total),
            )
        except nvml.NVMLError:
            continue  # a slice of a GPU (MIG) does not tell its utilisation
    return found


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    nvml = _nvml()
    if nvml is None:
        return []
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = (
        [str(i) for i in range(nvml.nvmlDeviceGetCount())]
        if chosen is None
        else [part.strip() for part in chosen.split(",")]
    )
    return names[: len(_visible(nvml))]


@functools.cache
def _nvml() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pynvml
        pynvml.nvmlInit()
    except (ImportError, OSError):
        return None
    except Exception as error:
        if type(error).__module__ != "pynvml":
            raise
        return None  # no driver here
    return pynvml


def _visible(nvml: Any) -> list[Any]:
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    handles = []
    for name in filter(None, (part.strip() for part in chosen.split(","))):
        try:
            handles.append(
                nvml.nvmlDeviceGetHandleByIndex(int(name))
                if name.lstrip("-").isdigit()
                else nvml.nvmlDeviceGetHandleByUUID(name.encode())
            )
        except nvml.NVMLError:
            break  # as CUDA does: an unknown name ends the list
    return handles
