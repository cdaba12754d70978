"""`python -m rnnbench` is `rnnbench`."""

from rnnbench.cli import main

main(prog_name="rnnbench")
