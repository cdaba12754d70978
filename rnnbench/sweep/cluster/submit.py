"""Sends a sweep to a Ray cluster as a job, and follows it there (Ray's Jobs API).

The job is `rnnbench sweep ... --engine ray` on the cluster itself: it goes on when this end is
gone. The token is read from a file or from the environment, and goes nowhere but into the header
of requests, over loopback or TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import shlex
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ray
from ray.job_submission import JobStatus, JobSubmissionClient

from rnnbench.errors import UserError
from rnnbench.sweep.cluster.archive import (
    Package,
    PackageError,
    pack,
    refuse_secret_text,
    secrets_here,
)
from rnnbench.sweep.cluster.connection import OPEN
from rnnbench.sweep.file.sweep import read_sweep

ENDED = {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.STOPPED}
ASK_SECONDS = 15.0
START_SECONDS = 240.0  # for a cluster that has just been started, or is very busy, to take jobs
NOT_YET = "No available agent"  # its answer until then
LOOK_SECONDS = 1.0  # between looks at a job whose log has ended
GRACE_SECONDS = 120  # that a job has to end when it is stopped; Ray alone gives 3
LOGGERS = ("ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk")
OVERRIDES = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")  # they win over an address that is given


class SubmitError(UserError, RuntimeError):
    """The cluster cannot be used, or not safely; the message says why, and what to do."""

    exit_code = 1


@dataclass(frozen=True)
class Submission:
    """A job that is to be sent.

    Attributes:
        sweep: name of the sweep.
        entrypoint: command line on the cluster.
    """

    sweep: str
    entrypoint: str
    package: Package


def prepare(
    file: Path,
    *,
    out: str,
    tree: Path,
    to: Path,
    plugins: Sequence[Path] = (),
    workers: int | None = None,
    options: Sequence[str] = (),
    limit: int | None = None,
) -> Submission:
    """Read the sweep file, and pack what goes with it; nothing is sent.

    Args:
        out: folder that all nodes share, or URL, for results.
        to: temporary folder for the archive.
        options: more of `rnnbench sweep`.

    Raises:
        ValueError: the file, the options or the tree cannot be sent as they are.
    """
    sweep = read_sweep(file)
    if "://" not in out and not out.startswith("/"):
        raise SubmitError(
            f"--out {out}: a job's own folder on the cluster is deleted with the job, so results "
            "need a full path that all nodes share, or a URL such as s3://bucket/folder"
        )
    try:
        name = file.resolve().relative_to(tree.resolve()).as_posix()
    except ValueError:
        raise PackageError(
            f"{file} is not in the working tree {tree}: move it there, or give --working-dir"
        ) from None
    command = ["python", "-m", "rnnbench", "sweep", name, "--out", out]
    if "--engine" not in options:
        command += ["--engine", "ray", "--address", "auto"]
    if workers is not None:
        command += ["--workers", str(workers)]
    entrypoint = shlex.join([*command, *options])
    secrets = secrets_here(token_file())
    refuse_secret_text(entrypoint, "the command line", secrets)
    package = pack(tree, plugins, to, secrets, limit or upload_limit())
    if name not in package.files:
        raise PackageError(f"{name} is ignored by git, so it would not be sent: rename it")
    return Submission(sweep.name, entrypoint, package)


def upload_limit() -> int:
    """Bytes that Ray's job server takes at once, and its store of packages."""
    from ray._private.ray_constants import DASHBOARD_CLIENT_MAX_SIZE
    from ray._private.runtime_env.packaging import GCS_STORAGE_MAX_SIZE

    return int(min(DASHBOARD_CLIENT_MAX_SIZE, GCS_STORAGE_MAX_SIZE))


def token_file() -> Path | None:
    """The file that Ray would read the token from, None where it does not use one."""
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
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(a.split("%")[0]).is_loopback for a in found)


def _answers_to_anyone(address: str) -> bool:
    import requests

    try:
        answer = requests.get(f"{address.rstrip('/')}/api/jobs/", timeout=ASK_SECONDS)
    except requests.RequestException:
        return False  # what is wrong with it is said when it is asked in earnest
    return answer.status_code == 200


class Jobs:
    """The job server of a cluster.

    Raises:
        SubmitError: it is not safe to use, or does not answer, or wants another token.
    """

    def __init__(self, address: str, say: Callable[[str], None] = print) -> None:
        self.address = address.rstrip("/")
        refuse_unsafe(self.address, say)
        for name in LOGGERS:  # they tell what is told here in other words
            logging.getLogger(name).setLevel(logging.ERROR)
        with _without(OVERRIDES), self._explained():
            self._client = JobSubmissionClient(self.address)
        self._say = say

    def send(self, submission: Submission) -> str:
        """Upload the package and start the job; return its id."""
        job = f"rnnbench-{submission.sweep}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        deadline = time.monotonic() + START_SECONDS
        told = False
        while True:
            try:
                with self._explained():
                    return self._submit(job, submission)
            except SubmitError as error:
                if NOT_YET not in str(error) or time.monotonic() > deadline:
                    raise
                if not told:
                    told = True
                    self._say(f"the cluster takes no jobs yet; trying for {START_SECONDS:g} s")
                time.sleep(LOOK_SECONDS)

    def _submit(self, job: str, submission: Submission) -> str:
        return str(
            self._client.submit_job(
                entrypoint=submission.entrypoint,
                submission_id=job,
                runtime_env={
                    "working_dir": str(submission.package.path),
                    "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(GRACE_SECONDS)},
                },
                metadata={"rnnbench": submission.sweep},
            )
        )

    def follow(self, job: str, write: Callable[[str], None]) -> int:
        """Pass on what the job prints until it has ended; return its exit code."""
        printed = 0  # characters

        def pass_on(text: str, since: int) -> None:
            nonlocal printed
            write(text[max(0, printed - since) :])
            printed = max(printed, since + len(text))

        while True:
            with contextlib.suppress(RuntimeError, OSError):  # a connection may break; look again
                asyncio.run(self._tail(job, pass_on))
            if self._ask(self._client.get_job_status, job) in ENDED:
                pass_on(self._ask(self._client.get_job_logs, job), 0)
                return self.exit_code(job, write)
            time.sleep(LOOK_SECONDS)

    def exit_code(self, job: str, write: Callable[[str], None]) -> int:
        """Of a job that has ended; what Ray says of it is passed on where it failed."""
        found = self._ask(self._client.get_job_info, job)
        if found.status == JobStatus.SUCCEEDED:
            return 0
        said = (found.message or "").partition(", last available logs")[0].strip()
        write(f"job {job}: {found.status.value}: {said}\n")
        code = found.driver_exit_code
        return 1 if not code else code if code > 0 else 128 - code

    def logs(self, job: str) -> str:
        return str(self._ask(self._client.get_job_logs, job))

    def stop(self, job: str) -> bool:
        """Ask the job to end in order; False: it had ended."""
        return bool(self._ask(self._client.stop_job, job))

    def list(self) -> list[Any]:
        """Jobs that were submitted, the newest first."""
        jobs = [j for j in self._ask(self._client.list_jobs) if j.submission_id]
        return sorted(jobs, key=lambda j: -(j.start_time or 0))

    async def _tail(self, job: str, pass_on: Callable[[str, int], None]) -> None:
        since = 0
        async for text in self._client.tail_job_logs(job):
            pass_on(text, since)
            since += len(text)

    def _ask(self, call: Callable[..., Any], *arguments: Any) -> Any:
        with self._explained():
            return call(*arguments)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except ray.exceptions.AuthenticationError as error:
            raise SubmitError(
                f"the cluster at {self.address} wants another token than there is here: copy it "
                "from the head into a file of mode 0600, and set RAY_AUTH_MODE=token and "
                "RAY_AUTH_TOKEN_PATH"
            ) from error
        except (ConnectionError, OSError) as error:
            raise SubmitError(
                f"no job server answers at {self.address}: is the cluster up, and the tunnel to "
                "its dashboard (`ray dashboard cluster.yaml`)?"
            ) from error
        except RuntimeError as error:
            raise SubmitError(f"the job server at {self.address} refused: {error}") from error


@contextlib.contextmanager
def _without(names: Sequence[str]) -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def submit_sweep(
    file: Path, address: str, *, wait: bool, say: Callable[[str], None],
    write: Callable[[str], None], **chosen: Any,
) -> int:  # fmt: skip
    """Send a sweep and, where asked, follow it to its end; return the exit code.

    Args:
        chosen: what `prepare` takes.
    """
    with tempfile.TemporaryDirectory(prefix="rnnbench-submit-") as folder:
        submission = prepare(file, to=Path(folder), **chosen)
        package = submission.package
        for needed in package.requirements:
            say(f"note: a plugin needs {needed}, which the nodes must have already")
        jobs = Jobs(address, say)
        say(f"sending {len(package.files)} files, {package.size / 2**20:.2f} MiB compressed")
        try:
            job = jobs.send(submission)
        except KeyboardInterrupt:
            say(
                "\ninterrupted while sending: whether the job was taken, see\n"
                f"  rnnbench cluster jobs --address {address}"
            )
            return 130
    say(f"job {job}: {submission.entrypoint}")
    again = (
        f"  look again: rnnbench cluster logs {job} --address {address} --follow\n"
        f"  stop it:    rnnbench cluster stop {job} --address {address}"
    )
    if not wait:
        say(again)
        return 0
    try:
        return jobs.follow(job, write)
    except KeyboardInterrupt:
        say(f"\ndetached; the job goes on.\n{again}")
        return 130
