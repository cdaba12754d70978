"""`rnnbench cluster check`: prints a table of all nodes, and their problems."""

from __future__ import annotations

import dataclasses
import json
from contextlib import closing
from pathlib import Path

from platformdirs import user_log_path
from rich.table import Table

from rnnbench.report.terminal.plain_console import plain_console
from rnnbench.sweep.cluster.compare_nodes import compare, lacks_cpus, table


def check_command(address: str, root: Path, as_json: bool) -> int:
    """Ask all nodes, print their answers and problems; return the exit code."""
    from rnnbench.sweep.cluster.ask_nodes import ask_nodes
    from rnnbench.sweep.cluster.connection import RayConnection
    from rnnbench.sweep.cluster.ray_output import RayOutput

    console = plain_console(stderr=as_json)

    def say(line: str) -> None:
        console.print(line, soft_wrap=True)

    connection = RayConnection(address, say)
    output = RayOutput(user_log_path("rnnbench") / "ray.log")
    say(f"what Ray itself says stands in {output.log}")
    try:
        with closing(output):
            driver, nodes = ask_nodes(connection, root)
    finally:
        connection.close()
    problems = compare(driver, nodes) + lacks_cpus(nodes)
    if as_json:
        reports = {
            "driver": dataclasses.asdict(driver),
            "nodes": [dataclasses.asdict(node) for node in nodes],
            "problems": problems,
        }
        print(json.dumps(reports, indent=2))
    else:
        heading, *rows = table(driver, nodes)
        node_table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for cell in heading:
            node_table.add_column(cell, overflow="fold")
        for row in rows:
            style = "bold" if any(cell.endswith(" *") for cell in row) else None
            node_table.add_row(*row, style=style)
        console.print(node_table)
        for problem in problems:
            say(f"problem: {problem}")
        say(f"{len(nodes)} nodes, {len(problems)} problems (* differs from the driver)")
    return 1 if problems else 0
