"""Measures what a worker uses: memory of its process, and GPUs as NVML reports them."""

from __future__ import annotations

import functools
import os
import warnings
from pathlib import Path
from typing import Any

Gpu = tuple[float, int, int]  # share of the time in use, bytes held, bytes there are


def memory_held() -> int:
    """Return the bytes of memory that this process holds, libraries included; 0: unknown."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # not Linux
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def gpus_in_use() -> dict[str, Gpu]:
    """Return the use of each GPU that this process may use, by id.

    Returns:
        {} where there is no GPU or no driver.
    """
    nvml = _nvml()
    if nvml is None:
        return {}
    use_by_id = {}
    for handle in _visible_handles(nvml):
        try:
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            share = nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
            use_by_id[str(nvml.nvmlDeviceGetUUID(handle))] = (
                share,
                int(memory.used),
                int(memory.total),
            )
        except nvml.NVMLError:
            continue  # a slice of a GPU (MIG) does not tell its utilisation
    return use_by_id


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    nvml = _nvml()
    if nvml is None:
        return []
    variable = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = (
        [str(i) for i in range(nvml.nvmlDeviceGetCount())]
        if variable is None
        else [part.strip() for part in variable.split(",")]
    )
    return names[: len(_visible_handles(nvml))]


@functools.cache
def _nvml() -> Any:
    """Return NVML, ready for use; None where there is no driver."""
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


def _visible_handles(nvml: Any) -> list[Any]:
    """Return NVML's handles of the GPUs that this process may use."""
    variable = os.environ.get("CUDA_VISIBLE_DEVICES")
    if variable is None:
        return [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    handles = []
    for name in filter(None, (part.strip() for part in variable.split(","))):
        try:
            handles.append(
                nvml.nvmlDeviceGetHandleByIndex(int(name))
                if name.lstrip("-").isdigit()
                else nvml.nvmlDeviceGetHandleByUUID(name.encode())
            )
        except nvml.NVMLError:
            break  # as CUDA does: an unknown name ends the list
    return handles
