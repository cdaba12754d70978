"""Faults of the infrastructure are told from those of a model, by type, at one place."""

import errno
import json
import os
import socket
import sqlite3
import subprocess
import sys
import urllib.error

import pytest
import sqlalchemy as sa
from support.fake_records import make_record

from rnnbench.errors import DataError, PluginError, Refusal
from rnnbench.leaderboard.boards import build
from rnnbench.results.outages import FAULTS, fault_of, fault_of_reason, is_here, missing_name
from rnnbench.results.record import Record, Status
from rnnbench.results.remote import RemoteError
from rnnbench.training.checkpoint import CheckpointError


def raised(action):
    with pytest.raises(Exception) as caught:
        action()
    return caught.value


def caused_by(error):
    wrapped = ValueError("cannot read the corpus")
    wrapped.__cause__ = error
    return wrapped


def unreachable():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        socket.create_connection(("127.0.0.1", free.getsockname()[1]), timeout=5)


def database_away():
    sa.create_engine("postgresql+psycopg://127.0.0.1:1/none").connect()


THEIRS = {
    "storage": [RemoteError("cannot list runs at s3://bucket")],
    "disk": [
        CheckpointError("3 bytes are free"),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EIO, "Input/output error"),
        OSError(errno.ESTALE, "Stale file handle"),
        RuntimeError(
            "[enforce fail at inline_container.cc:664] PytorchStreamWriter failed writing"
        ),
        caused_by(OSError(errno.EDQUOT, "Disk quota exceeded")),
        raised(lambda: os.write(os.open("/dev/full", os.O_WRONLY), b"x")),
    ],
    "network": [
        ConnectionResetError("peer"),
        TimeoutError("no answer"),
        urllib.error.URLError("no route"),
        raised(unreachable),
        raised(lambda: socket.getaddrinfo("name.invalid", 80)),
        OSError(errno.EHOSTUNREACH, "No route to host"),
    ],
    "database": [
        raised(database_away),
        sa.exc.OperationalError("SELECT 1", {}, sqlite3.OperationalError("disk I/O error")),
    ],
    "gpu": [
        RuntimeError("CUDA error: no CUDA-capable device is detected"),
        RuntimeError("CUDA error: uncorrectable ECC error encountered"),
        RuntimeError("Unexpected error from cudaGetDeviceCount(). CUDA unknown error"),
        RuntimeError("Unable to determine the device handle: GPU is lost."),
    ],
    "data": [DataError("tatoeba is not here, and cannot be fetched")],
    "image": [OSError("libcublas.so.12: cannot open shared object file: No such file")],
}
MAY_BE = {
    "gpu": [RuntimeError("CUDA error: unspecified launch failure")],
    "image": [ModuleNotFoundError("No module named 'x'", name="x"), PluginError("no task 'x'")],
    "worker": [RuntimeError("DataLoader worker (pid 4) is killed by signal: Killed.")],
}
ITS_OWN = [
    RuntimeError("no gradient today"),
    ValueError("No space left on device"),  # said by code that knows no disk
    FileNotFoundError(errno.ENOENT, "No such file"),
    PermissionError(errno.EACCES, "Permission denied"),
    MemoryError(),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
    ZeroDivisionError("division by zero"),
    Refusal("makes no sense"),
    AssertionError("shapes differ"),
]


def pairs(kinds):
    return [
        pytest.param(kind, error, id=f"{kind}-{type(error).__name__}-{i}")
        for kind, errors in kinds.items()
        for i, error in enumerate(errors)
    ]


@pytest.mark.parametrize(("kind", "error"), pairs(THEIRS))
def test_what_infrastructure_raises_is_known_with_what_to_do(kind, error):
    fault = fault_of(error)
    assert (fault.kind, fault.unsure) == (kind, False)
    assert fault.what
    assert fault.advice


@pytest.mark.parametrize(("kind", "error"), pairs(MAY_BE))
def test_what_may_be_either_is_marked_as_unsure(kind, error):
    fault = fault_of(error)
    assert (fault.kind, fault.unsure) == (kind, True)


@pytest.mark.parametrize("error", ITS_OWN, ids=repr)
def test_an_error_of_a_model_stays_its_own(error):
    assert fault_of(error) is None


def test_every_kind_of_the_table_is_tried_here():
    assert {f.kind for f in FAULTS} - {"node"} == THEIRS.keys() | MAY_BE.keys()


def test_what_an_import_lacked_is_named_and_looked_for_here():
    assert missing_name(raised(lambda: __import__("surely_not_there"))) == "surely_not_there"

    def renamed():
        from json import surely_not_there  # noqa: F401

    assert missing_name(raised(renamed)) == "json:surely_not_there"
    assert [is_here(m) for m in ("json", "json:loads", "json:decoder", "json:x", "surely_not")] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_classifying_imports_nothing():
    code = (
        "import sys; from rnnbench.results.outages import fault_of; fault_of(OSError(28, 'full'));"
        "print([m for m in ('torch', 'sqlalchemy', 'ray', 'requests') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


OLD = [
    "RemoteError: cannot list char-lm.x at s3://b/r: EndpointConnectionError: away",
    "RemoteError: cannot read x at s3://b/r: ConnectionError (/home/me/rnnbench/remote.py:301)",
    "CheckpointError: /results/runs/x: 0 bytes are free and a checkpoint takes 1,000",
    "OSError: [Errno 28] cannot write /results/x: No space left on device",
    "BrokenPipeError: [Errno 32] Broken pipe",
    "RuntimeError: CUDA error: uncorrectable ECC error encountered",
    "was started 20 times and always lost with its node; the last one was lost",
]


@pytest.mark.parametrize("reason", OLD)
def test_a_run_that_an_older_version_blamed_is_read_as_interrupted_and_is_on_no_board(reason):
    written = json.loads(make_record(status=Status.CRASHED, reason="x").as_json())
    written |= {"status": "crashed", "reason": reason}
    record = Record.from_json(json.dumps(written))
    assert (record.status, record.reason) == (Status.INTERRUPTED, reason)
    rows = [row for board in build([record]) for row in board.rows]
    assert not [row for row in rows if row.failures]


@pytest.mark.parametrize(
    "reason",
    [
        "RuntimeError: no gradient today",
        "ModuleNotFoundError: No module named 'x'",
        "RuntimeError: CUDA error: device-side assert triggered",
        "FileNotFoundError: [Errno 2] No such file or directory: 'x'",
        "killed its worker twice; the last one was killed (SIGKILL)",
        None,
    ],
)
def test_a_crash_of_an_older_version_that_was_the_models_stays_one(reason):
    assert fault_of_reason(reason) is None
    written = json.loads(make_record(status=Status.CRASHED, reason="x").as_json())
    assert Record.from_dict(written | {"reason": reason}).status == Status.CRASHED
