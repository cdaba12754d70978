"""Run a benchmark that is chosen by its name."""

from __future__ import annotations

import argparse

from rnnbench.benchmarks import (
    architectures,
    board,
    cells,
    data,
    linear,
    padding,
    startup,
    steps,
    study,
    trials,
    verdicts,
)

BENCHMARKS = {
    "architectures": architectures,
    "steps": steps,
    "startup": startup,
    "cells": cells,
    "linear": linear,
    "padding": padding,
    "data": data,
    "study": study,
    "trials": trials,
    "board": board,
    "verdicts": verdicts,
}


def main() -> None:
    """Read the command line, and run the benchmark that it names."""
    parser = argparse.ArgumentParser(prog="python -m rnnbench.benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True)
    for name, module in BENCHMARKS.items():
        summary = (module.__doc__ or "").split("\n")[0]
        module.options(commands.add_parser(name, help=summary, description=module.__doc__))
    arguments = parser.parse_args()
    BENCHMARKS[arguments.name].run(arguments)


if __name__ == "__main__":
    main()
