"""rnnbench: compare recurrent ideas honestly."""

__version__ = "0.1.0"
