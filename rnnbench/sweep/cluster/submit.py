"""Sends a sweep to a Ray cluster as a job, and follows it there (Ray's Jobs API).

The job is `rnnbench sweep ... --engine ray` on the cluster itself: it goes on when this end is
gone. The token is read from a file or from the environment, and goes nowhere but into the header
of requests, over loopback or TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.job_submission import JobStatus, JobSubmissionClient

from rnnbench.sweep.cluster.archive import (
    Package,
    PackageError,
    pack,
    refuse_secret_text,
    secrets_here,
)
from rnnbench.sweep.cluster.job_server_safety import SubmitError, refuse_unsafe, token_file
from rnnbench.sweep.file.sweep import read_sweep

ENDED = {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.STOPPED}
START_SECONDS = 240.0  # for a cluster that has just been started, or is very busy, to take jobs
NOT_YET = "No available agent"  # its answer until then
LOOK_SECONDS = 1.0  # between looks at a job whose log has ended
GRACE_SECONDS = 120  # that a job has to end when it is stopped; Ray alone gives 3
LOGGERS = ("ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk")
OVERRIDES = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")  # they win over an address that is given


@dataclass(frozen=True)
class Submission:
    """A job that is ready to be sent.

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
        tree: the working tree to send.
        to: temporary folder for the archive.
        plugins: folders or wheels of plugins to send along.
        options: further options of `rnnbench sweep`.
        limit: bytes that the archive may have; None: as many as Ray takes.

    Raises:
        SweepError: the sweep file cannot be as it is.
        SubmitError, PackageError: the options or the tree cannot be sent as they are.
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
    """Return the bytes that Ray's job server, and its store of packages, take at once."""
    from ray._private.ray_constants import DASHBOARD_CLIENT_MAX_SIZE
    from ray._private.runtime_env.packaging import GCS_STORAGE_MAX_SIZE

    return int(min(DASHBOARD_CLIENT_MAX_SIZE, GCS_STORAGE_MAX_SIZE))


class Jobs:
    """The job server of a cluster.

    Args:
        say: prints a line for the user.

    Raises:
        SubmitError: it is not safe to use, does not answer, or wants another token.
    """

    def __init__(self, address: str, say: Callable[[str], None] = print) -> None:
        self.address = address.rstrip("/")
        refuse_unsafe(self.address, say)
        for name in LOGGERS:  # they tell what is told here in other words
            logging.getLogger(name).setLevel(logging.ERROR)
        with _without_variables(OVERRIDES), self._errors_explained():
            self._client = JobSubmissionClient(self.address)
        self._say = say

    def send(self, submission: Submission) -> str:
        """Upload the package and start the job; return its id."""
        job = f"rnnbench-{submission.sweep}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        deadline = time.monotonic() + START_SECONDS
        user_knows = False
        while True:
            try:
                with self._errors_explained():
                    return self._submit(job, submission)
            except SubmitError as error:
                if NOT_YET not in str(error) or time.monotonic() > deadline:
                    raise
                if not user_knows:
                    user_knows = True
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
        """Return the exit code of a job that has ended; write Ray's message where it failed."""
        info = self._ask(self._client.get_job_info, job)
        if info.status == JobStatus.SUCCEEDED:
            return 0
        message = (info.message or "").partition(", last available logs")[0].strip()
        write(f"job {job}: {info.status.value}: {message}\n")
        code = info.driver_exit_code
        return 1 if not code else code if code > 0 else 128 - code

    def logs(self, job: str) -> str:
        """Return all that a job has printed."""
        return str(self._ask(self._client.get_job_logs, job))

    def stop(self, job: str) -> bool:
        """Ask a job to end in order; return False where it had ended."""
        return bool(self._ask(self._client.stop_job, job))

    def list(self) -> list[Any]:
        """Return the jobs that were submitted, the newest first."""
        jobs = [j for j in self._ask(self._client.list_jobs) if j.submission_id]
        return sorted(jobs, key=lambda j: -(j.start_time or 0))

    async def _tail(self, job: str, pass_on: Callable[[str, int], None]) -> None:
        """Pass on what a job prints from its beginning, with the number of characters before."""
        since = 0
        async for text in self._client.tail_job_logs(job):
            pass_on(text, since)
            since += len(text)

    def _ask(self, call: Callable[..., Any], *arguments: Any) -> Any:
        with self._errors_explained():
            return call(*arguments)

    @contextlib.contextmanager
    def _errors_explained(self) -> Iterator[None]:
        """Raise SubmitError, with what to do, in the place of Ray's errors."""
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
def _without_variables(names: Sequence[str]) -> Iterator[None]:
    """Remove variables from the environment within `with`."""
    removed = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(removed)


def submit_sweep(
    file: Path, address: str, *, wait: bool, say: Callable[[str], None],
    write: Callable[[str], None], **arguments: Any,
) -> int:  # fmt: skip
    """Send a sweep and, where asked, follow it to its end; return the exit code.

    Args:
        wait: whether to follow the job to its end.
        say: prints a line for the user.
        write: prints what the job prints.
        arguments: further arguments of `prepare`.
    """
    with tempfile.TemporaryDirectory(prefix="rnnbench-submit-") as folder:
        submission = prepare(file, to=Path(folder), **arguments)
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
