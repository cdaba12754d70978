"""Does what the commands say, one module a command; `rnnbench.cli` holds their options."""
