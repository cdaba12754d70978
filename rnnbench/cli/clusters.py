"""Commands on Ray clusters."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rnnbench.cli.root import RESULTS, example, main

ADDRESS = click.option(
    "--address", envvar="RNNBENCH_JOBS_ADDRESS", default="http://127.0.0.1:8265",
    show_default=True, show_envvar=True, help="Of the cluster's job server (its dashboard).",
)  # fmt: skip


def _write(text: str) -> None:
    click.echo(text, nl=False)


def _say(line: str) -> None:
    click.echo(line, err=True)


@main.command(epilog=example(
    "rnnbench submit sweeps/quickstart.yaml --out s3://bucket/results",
    "rnnbench submit sweeps/mine.yaml --out /shared/results --plugin plugins/mine -- --no-html",
))  # fmt: skip
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@ADDRESS
@click.option("--out", required=True, envvar="RNNBENCH_RESULTS", show_envvar=True,
              help="Results: a full path that all nodes share, or a URL.")  # fmt: skip
@click.option("--working-dir", "tree", default=Path("."), show_default=True,
              type=click.Path(path_type=Path, file_okay=False, exists=True),
              help="Folder that is sent, without what .gitignore names.")  # fmt: skip
@click.option("--plugin", "plugins", multiple=True, type=click.Path(path_type=Path),
              help="Folder or wheel of a plugin that is sent too; repeatable.")  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), help="Instead of the file's.")
@click.option("--wait/--no-wait", default=True, show_default=True,
              help="Follow the job, and end with its exit code.")  # fmt: skip
@click.argument("options", nargs=-1)
def submit(file: Path, address: str, out: str, tree: Path, plugins: tuple[Path, ...],
           workers: int | None, wait: bool, options: tuple[str, ...]) -> None:  # fmt: skip
    """Run a sweep as a job of a Ray cluster: `rnnbench sweep FILE --engine ray` over there.

    OPTIONS after -- are more options of `rnnbench sweep`. The token of the cluster comes from
    RAY_AUTH_TOKEN_PATH, with RAY_AUTH_MODE=token.
    """
    from rnnbench.sweep.cluster.submit import submit_sweep

    sys.exit(
        submit_sweep(file, address, wait=wait, say=_say, write=_write, out=out, tree=tree,
                     plugins=plugins, workers=workers, options=options)
    )  # fmt: skip


@main.group()
def cluster() -> None:
    """Ray clusters: are all nodes alike, and what do they run?"""


@cluster.command(epilog=example("rnnbench cluster check --out /shared/results"))
@click.option("--address", default="auto", show_default=True,
              help="Of the cluster, as Ray names it; auto: of this machine.")  # fmt: skip
@RESULTS
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def check(address: str, root: Path, as_json: bool) -> None:
    """Compare all nodes of a cluster: versions, plugins, GPUs, storage, clocks.

    Ends with 1 where a sweep would go wrong, with a line for each reason. Leaves nothing behind.
    """
    from rnnbench.cli.actions.cluster_check import check_command

    sys.exit(check_command(address, root, as_json))


@cluster.command(epilog=example("rnnbench cluster wait --address n1:6379 --nodes 4"))
@click.option("--address", required=True, help="Of the cluster's head: host:port.")
@click.option("--nodes", required=True, type=click.IntRange(min=1), help="How many to wait for.")
@click.option("--timeout", default=600.0, show_default=True, type=click.FloatRange(min=0),
              help="Seconds after which to give up.")  # fmt: skip
def wait(address: str, nodes: int, timeout: float) -> None:
    """Wait until the head of a cluster answers and so many nodes have joined it.

    For scripts that start Ray on several machines at once. Ends with 69 when the time is over.
    """
    from rnnbench.sweep.cluster.wait_for_nodes import wait_for_nodes

    wait_for_nodes(address, nodes, timeout, _say)


@cluster.command(epilog=example("rnnbench cluster jobs"))
@ADDRESS
def jobs(address: str) -> None:
    """Sweeps and other jobs that were submitted to the cluster, the newest first."""
    from rnnbench.sweep.cluster.submit import Jobs

    for job in Jobs(address, _say).list():
        click.echo(f"{job.submission_id}  {job.status.value.lower()}  {job.entrypoint}")


@cluster.command(epilog=example("rnnbench cluster logs rnnbench-quickstart-20260101-120000-7"))
@click.argument("job")
@ADDRESS
@click.option("--follow", is_flag=True, help="Until its end, and end with its exit code.")
def logs(job: str, address: str, follow: bool) -> None:
    """Print the log of a JOB."""
    from rnnbench.sweep.cluster.submit import Jobs

    server = Jobs(address, _say)
    if follow:
        sys.exit(server.follow(job, _write))
    _write(server.logs(job))


@cluster.command(epilog=example("rnnbench cluster stop rnnbench-quickstart-20260101-120000-7"))
@click.argument("job")
@ADDRESS
def stop(job: str, address: str) -> None:
    """End a JOB in order (SIGTERM); submitted again, its sweep goes on where it was."""
    from rnnbench.sweep.cluster.submit import Jobs

    click.echo("stopping" if Jobs(address, _say).stop(job) else "it had ended")
