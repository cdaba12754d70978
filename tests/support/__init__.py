"""Helpers of the tests: `from support.toys import ...` (pyproject.toml puts `tests` on the path)."""

from pathlib import Path

TESTS = Path(__file__).parent.parent
ROOT = TESTS.parent
