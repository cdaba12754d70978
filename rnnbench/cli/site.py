"""The command that shows the site while a sweep runs."""

from __future__ import annotations

from pathlib import Path

import click

from rnnbench.cli.root import DATABASE, RESULTS, example, main


@main.command(epilog=example("rnnbench serve", "rnnbench serve --out results --port 8080"))
@RESULTS
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True,
              help="0: any that is free.")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True,
              help="Where to listen; any address but the default is open to others.")  # fmt: skip
@DATABASE
def serve(root: Path | str, port: int, host: str, database: str | None) -> None:
    """Show the leaderboards, runs and sweeps in a browser, live and read-only.

    Pages follow the results while a sweep runs. `leaderboard --html DIR` writes the same as files.
    """
    from rnnbench.report.site.server import serve as serve_site

    serve_site(root, host, port, database)
