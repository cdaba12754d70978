"""What each command of the command line does; `rnnbench.cli` holds its options."""
