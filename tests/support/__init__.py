"""Helpers of the tests: `from support.toys import ...` (`tests` is on the path, pyproject.toml)."""

from pathlib import Path

TESTS = Path(__file__).parent.parent
ROOT = TESTS.parent
