"""Another process: without network, with other hash seeds, and where wanted with damaged data.

One server is started at the first question and imports torch once. It answers each question in a
fork of its own, so that nothing a task keeps in memory is seen by the next.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import errno
import functools
import hashlib
import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from rnnbench.contract import Task
from rnnbench.data import DataError, fetch, status
from rnnbench.data.sources import roots
from rnnbench.loader import keyed_generator
from rnnbench.testing.common import fresh

SPLITS = ("train", "valid", "test")
LONGEST = 180  # seconds for one question
IN_PLACE = ("package:", "file:")  # origins that are read where they lie, in no folder of data
NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens there
OFFLINE = {
    **{"PIP_NO_INDEX": "1", "PIP_INDEX_URL": NOWHERE, "PIP_RETRIES": "0"},
    **{k: NOWHERE for k in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")},
}


def digest(task: Task) -> str:
    """A hash of some batches of each split: the first, middle and last, in both orders."""
    found = hashlib.sha256()
    for split in SPLITS:
        data = task.data(split, 3)
        for training in (True, False):
            keys = list(data.order(16, keyed_generator(3, 0) if training else None))
            for i in sorted({0, 1, 2, len(keys) // 2, len(keys) - 1} & set(range(len(keys)))):
                rng = keyed_generator(3, 0, i, 1) if training else None
                found.update(f"{split} {training} {i} of {len(keys)}".encode())
                for value in data.batch(keys[i], rng):
                    found.update(repr(getattr(value, "shape", value)).encode())
                    if isinstance(value, Tensor):
                        found.update(value.contiguous().numpy().tobytes())
    return found.hexdigest()


def importable(task: Task) -> bool:
    """Whether another process can import its class."""
    return "<locals>" not in type(task).__qualname__ and type(task).__module__ != "__main__"


@functools.lru_cache(maxsize=64)
def _asked(what: str, pickled: bytes, kept_in: str) -> dict[str, Any]:
    server = _server()
    question = {
        "what": what,
        "task": base64.b64encode(pickled).decode(),
        "path": sys.path,
        "environ": {**os.environ, **OFFLINE},  # it may have changed since the server was started
    }
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(question) + "\n")
    server.stdin.flush()
    answer = server.stdout.readline()
    if not answer:
        raise RuntimeError(f"the other process ended with exit code {server.wait()}")
    return json.loads(answer)


def ask(what: str, task: Task) -> dict[str, Any]:
    """ "digest" or "damage", answered by another process.

    Returns:
        {"digest": …}, {"error": …} where it raised, or of "damage" {"file", "kind", "said"}: the
        damaged file, what was raised ("" for nothing) and all that was said.
    """
    return _asked(what, pickle.dumps(fresh(task)), str(roots()))


@functools.cache
def _server() -> subprocess.Popen[str]:
    other = (int(os.environ.get("PYTHONHASHSEED", "0").replace("random", "0")) + 1) % 2**32
    env = {**os.environ, **OFFLINE, "PYTHONHASHSEED": str(other),
           "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}  # fmt: skip
    server = subprocess.Popen(
        [sys.executable, "-c", "from rnnbench.testing.elsewhere import serve; serve()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
    )  # fmt: skip
    atexit.register(_close, server)
    return server


def _close(server: subprocess.Popen[str]) -> None:
    assert server.stdin is not None
    server.stdin.close()
    server.wait()
    assert server.stdout is not None
    server.stdout.close()


# ------------------------------------------------------------------------ in the other process


def serve() -> None:
    """Answer the questions on the standard input, one JSON object a line, each in a fork."""
    torch.set_num_threads(1)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a task prints is not an answer
    for line in sys.stdin:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(LONGEST)
            os.close(read)
            with os.fdopen(write, "w") as pipe:
                _answer(json.loads(line), pipe)
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as pipe:
            answer = pipe.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        ended = f"it ended with exit code {code} (it has {LONGEST} seconds)"
        out.write((answer or json.dumps({"error": ended})) + "\n")
        out.flush()


def _answer(question: dict[str, Any], to: IO[str]) -> None:
    sys.path[:] = question["path"]
    os.environ.clear()
    os.environ.update(question["environ"])
    work: dict[str, Callable[[Task], dict[str, Any]]] = {
        "digest": lambda task: {"digest": digest(task)},
        "damage": _damage,
    }
    try:
        _block_the_network()
        answer = work[question["what"]](pickle.loads(base64.b64decode(question["task"])))
    except BaseException as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        answer = {"error": f"{type(error).__name__}: {error} ({where})"}
    json.dump(answer, to)


def _block_the_network() -> None:
    def refuse(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            raise OSError(errno.ENETUNREACH, f"there is no network here, so not {address}")

    def unknown(host: Any, *_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, f"there is no network here, so not {host}")

    socket.socket.connect = refuse  # type: ignore[assignment, method-assign]
    socket.socket.connect_ex = refuse  # type: ignore[assignment, method-assign]
    socket.getaddrinfo = unknown  # type: ignore[assignment]


def _damage(task: Task) -> dict[str, Any]:
    """Load the data from a copy in which one byte of one file is another."""
    with tempfile.TemporaryDirectory() as folder, _stderr_in(Path(folder, "said")) as said:
        damaged = None
        for source in task.sources():
            if source.origin.startswith(IN_PLACE):
                continue
            here, there = fetch(source), Path(folder, "data", source.name)
            shutil.copytree(here, there, copy_function=_link)
            if damaged is None:
                files = sorted(p for p in there.rglob("*") if p.is_file() and p.name[0] != ".")
                damaged = next(p for p in files if p.stat().st_size)
                content = bytearray(damaged.read_bytes())
                content[len(content) // 2] ^= 1
                damaged.unlink()  # it is a link to the kept one
                damaged.write_bytes(content)
        assert damaged is not None
        home = str(Path(folder, "home"))
        os.environ.update(RNNBENCH_DATA=str(Path(folder, "data")), XDG_CACHE_HOME=home, HOME=home)
        kind = message = ""
        try:
            for split in SPLITS:
                task.data(split, 0)
        except DataError as error:
            kind, message = "DataError", str(error)
        except Exception as error:
            kind, message = type(error).__name__, str(error)
        return {"file": damaged.name, "kind": kind, "said": said() + message}


def _link(here: str, there: str) -> None:
    try:
        os.link(here, there)
    except OSError:  # another file system
        shutil.copy2(here, there)


@contextlib.contextmanager
def _stderr_in(path: Path) -> Iterator[Callable[[], str]]:
    """What goes to the standard error, of child processes too, goes into a file."""
    kept = os.dup(2)
    with path.open("w") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield lambda: path.read_text(errors="replace")
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def fetched(task: Task) -> None:
    """Make sure that its sources are here, so that what follows needs no network."""
    for source in task.sources():
        if status(source).state != "present":
            fetch(source)
