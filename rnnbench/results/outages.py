"""Tells faults of the infrastructure from those of a model: `FAULTS` is the one table of them.

A run that meets one is interrupted, and is run again; any other error is its own, and counts
against its architecture. Errors are known by their type, by the number that the system gives
them, or, where a library has no type of its own for one, by a part of its message. Nothing is
imported for this: what raised an error has imported its library.
"""

from __future__ import annotations

import builtins
import errno
import importlib
import re
from typing import NamedTuple

from rnnbench.errors import PluginError, causes

KIND = "fault"
"""Key of a record's provenance under which the kind of a fault stands."""

MISSING = "missing"
"""Key of a record's provenance for what a worker could not import, such as "scipy:signal"."""


class Fault(NamedTuple):
    """A kind of fault that is not a run's own.

    Attributes:
        kind: one word for it, as records and `sweep status --json` have it.
        what: what is wrong, in words.
        advice: what its operator does about it.
        errors: full names of exception classes; those that derive from them count too.
        numbers: of the system, see `errno`.
        texts: parts of messages of libraries that raise a RuntimeError or OSError.
        unsure: a model may cause it too. The record says `crashed`, and a sweep decides: it runs
            the trial again on another node, or asks whether the driver itself has the package.
        of_node: another node may be without it, so that a node with many is set aside.
    """

    kind: str
    what: str
    advice: str
    errors: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    texts: tuple[str, ...] = ()
    unsure: bool = False
    of_node: bool = True


def _numbers(*names: str) -> tuple[int, ...]:
    """Return those of the system's numbers that this system has."""
    return tuple(getattr(errno, name) for name in names if hasattr(errno, name))


# fmt: off
FAULTS = (
    Fault(
        "storage",
        "the address of the results cannot be read or written",
        "see that the address answers from the nodes, and that their login still holds",
        errors=(
            "rnnbench.results.remote.RemoteError",
            "botocore.exceptions.BotoCoreError",
            "botocore.exceptions.ClientError",
        ),
        of_node=False,
    ),
    Fault(
        "database",
        "the results database does not answer",
        "see that its server runs and can be reached",
        errors=(
            "sqlalchemy.exc.OperationalError",
            "sqlalchemy.exc.InterfaceError",
            "sqlalchemy.exc.TimeoutError",
        ),
        of_node=False,
    ),
    Fault(
        "disk",
        "a disk is full, broken or away",
        "make room, or mount it again; `df -h` on the node shows it",
        errors=("rnnbench.training.checkpoint.CheckpointError",),
        numbers=_numbers(
            "ENOSPC", "EDQUOT", "EIO", "ESTALE", "EROFS", "ENOTCONN", "EREMOTEIO", "EUCLEAN",
            "ENFILE", "ENODEV", "ENXIO", "ENOLCK", "ESHUTDOWN",
        ),
        texts=(
            "No space left on device", "Disk quota exceeded", "Stale file handle",
            "Input/output error", "Read-only file system", "PytorchStreamWriter failed",
            "Transport endpoint is not connected", "database or disk is full",
        ),
    ),
    Fault(
        "network",
        "the network is away, or a server does not answer",
        "see that the nodes reach the server that the error names",
        errors=(
            "builtins.ConnectionError",
            "builtins.TimeoutError",
            "socket.gaierror",
            "socket.herror",
            "ssl.SSLError",
            "urllib.error.URLError",
            "urllib3.exceptions.HTTPError",
            "requests.exceptions.ConnectionError",
            "requests.exceptions.Timeout",
            "aiohttp.client_exceptions.ClientError",
            "httpx.TransportError",
            "torch.distributed.DistNetworkError",
        ),
        numbers=_numbers(
            "ENETDOWN", "ENETUNREACH", "ENETRESET", "EHOSTDOWN", "EHOSTUNREACH", "ETIMEDOUT",
            "ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "EPIPE",
        ),
    ),
    Fault(
        "gpu",
        "a GPU or its driver does not answer",
        "look at `nvidia-smi` and `dmesg` on the node; drain it where its GPU fell off the bus",
        errors=("pynvml.NVMLError",),
        texts=(
            "no CUDA-capable device is detected", "No CUDA GPUs are available",
            "Found no NVIDIA driver", "CUDA driver version is insufficient",
            "CUDA driver initialization failed", "CUDA unknown error", "CUDA error: unknown error",
            "CUDA error: initialization error", "driver shutting down", "busy or unavailable",
            "invalid device ordinal", "system not yet initialized", "unsupported display driver",
            "forward compatibility was attempted", "uncorrectable ECC error",
            "uncorrectable NVLink error", "hardware stack error", "MPS server", "MPS client",
            "GPU is lost", "GPU_IS_LOST", "fallen off the bus", "no kernel image is available",
            "PTX was compiled with an unsupported toolchain", "No supported gpu backend found",
            "But your machine only has",
        ),
    ),
    Fault(
        "gpu",
        "a GPU failed, or was made to fail",
        "look at `nvidia-smi` and `dmesg` on the node",
        texts=(
            "unspecified launch failure", "illegal memory access", "launch timed out",
            "CUDNN_STATUS_EXECUTION_FAILED", "CUDNN_STATUS_INTERNAL_ERROR",
            "CUBLAS_STATUS_EXECUTION_FAILED", "CUBLAS_STATUS_INTERNAL_ERROR", "NCCL error",
        ),
        unsure=True,
    ),
    Fault(
        "image",
        "a package or a plugin of the driver is missing on a worker",
        "install it there, in its image or environment; `rnnbench cluster check` compares nodes",
        errors=("builtins.ImportError", "rnnbench.errors.PluginError"),
        unsure=True,
    ),
    Fault(
        "image",
        "a library is missing on a node",
        "install it in the image or environment of the node",
        texts=("cannot open shared object file", "GLIBC_", "GLIBCXX_"),
    ),
    Fault(
        "data",
        "a node lacks data, or has them damaged",
        "fetch them there (`rnnbench data fetch`), or let RNNBENCH_DATA be a folder that all share",
        errors=("rnnbench.errors.DataError",),
    ),
    Fault(
        "worker",
        "a process of the run was killed",
        "see who killed it, such as the system for want of memory: `dmesg` on the node",
        errors=("concurrent.futures.process.BrokenProcessPool",),
        texts=("DataLoader worker (pid",),
        unsure=True,
    ),
    Fault(
        "node",
        "a node was lost",
        "see that its machine runs and reaches the others",
        errors=("ray.exceptions.RayError",),
        texts=("always lost with its node",),
    ),
)
# fmt: on

NOT_OURS = ("device-side assert", "out of memory")  # said by libraries of what a model did
WITH_TEXTS = ("RuntimeError", "OSError", "AcceleratorError", "SafetensorError", "ImportError",
              "MisconfigurationException")  # fmt: skip
_BEGINNING = re.compile(r"(\w+): ")
_IMPORTED = re.compile(r"cannot import name '(\w+)'")  # before Python 3.12 it has no attribute
_NUMBER = re.compile(r"\[Errno (\d+)\]")


def fault_of(error: BaseException) -> Fault | None:
    """Return the kind of an infrastructure's fault; None where the error is the run's own.

    An error that was raised from another one (`raise ... from`) is what the first one was.
    """
    for cause in causes(error):
        if isinstance(cause, MemoryError) or any(text in str(cause) for text in NOT_OURS):
            return None
        names = {_full_name(kind) for kind in type(cause).__mro__}
        short = {kind.__name__ for kind in type(cause).__mro__}
        number = cause.errno if isinstance(cause, OSError) else None
        said = str(cause) if short & set(WITH_TEXTS) else ""
        for fault in FAULTS:
            if (
                names & set(fault.errors)
                or number in fault.numbers
                or any(text in said for text in fault.texts)
            ):
                return fault
    return None


def fault_of_reason(reason: str | None) -> Fault | None:
    """Return the fault that the reason of an older version's crashed run tells of, or None.

    Only faults that are surely the infrastructure's: such a run is read as interrupted.
    """
    if not reason or any(text in reason for text in NOT_OURS):
        return None
    if "always lost with its node" in reason:
        return fault_named("node")
    begins = _BEGINNING.match(reason)
    if begins is None:
        return None
    name = begins[1]
    builtin = getattr(builtins, name, None)
    kinds = builtin.__mro__ if isinstance(builtin, type) else ()
    short = {name, *(kind.__name__ for kind in kinds)}
    number = _NUMBER.search(reason) if OSError in kinds else None
    for fault in FAULTS:
        if fault.unsure:
            continue
        known = {full.rpartition(".")[2] for full in fault.errors}
        said = any(text in reason for text in fault.texts) and short & set(WITH_TEXTS)
        if short & known or said or (number and int(number[1]) in fault.numbers):
            return fault
    return None


def fault_named(kind: str) -> Fault:
    """Return the first fault of a kind."""
    return next(fault for fault in FAULTS if fault.kind == kind)


def missing_name(error: BaseException) -> str:
    """Return what an import lacked, as "module" or "module:name"; "" where nothing is known."""
    for cause in causes(error):
        if isinstance(cause, PluginError):
            return "rnnbench"  # a plugin that this process lacks: the driver has composed it
        if isinstance(cause, ImportError) and cause.name:
            name = _IMPORTED.match(str(cause))
            return f"{cause.name}:{name[1]}" if name else cause.name
    return ""


def is_here(missing: str) -> bool:
    """Tell whether this process can import what a worker could not (see `missing_name`)."""
    module, _, name = missing.partition(":")
    try:
        found = importlib.import_module(module)
        if name and not hasattr(found, name):
            importlib.import_module(f"{module}.{name}")
    except Exception:  # whatever a module does when it is imported: it is not usable here either
        return False
    return True


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
