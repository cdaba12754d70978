"""The types of what `import rnnbench as rb` offers; `__init__.py` imports it when it is used."""

from rnnbench.session.boards import leaderboard as leaderboard
from rnnbench.session.boards import runs as runs
from rnnbench.session.plugins import describe as describe
from rnnbench.session.plugins import list_plugins as list
from rnnbench.session.run import check as check
from rnnbench.session.run import load as load
from rnnbench.session.run import run as run
from rnnbench.session.sweeps import sweep as sweep

__version__: str

__all__ = ["check", "describe", "leaderboard", "list", "load", "run", "runs", "sweep"]
