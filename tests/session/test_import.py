"""Importing rnnbench is quick, and its functions are there under their names."""

import json
import subprocess
import sys

import pytest

import rnnbench as rb

HEAVY = ("torch", "pytorch_lightning", "optuna", "ray", "pandas", "matplotlib", "numpy")
CODE = f"""
import json, sys
import rnnbench as rb
seen = [[m for m in {HEAVY} if m in sys.modules]]
rb.list("tricks"); rb.describe("zoneout"); rb.runs(out=sys.argv[1]); rb.leaderboard(out=sys.argv[1])
seen.append([m for m in ("torch", "pandas", "optuna", "ray") if m in sys.modules])
print(json.dumps(seen))
"""


def test_the_import_brings_no_library_and_reading_results_no_torch(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [[], []]


@pytest.mark.parametrize("name", ["sweep", "leaderboard"])
def test_a_room_with_the_name_of_a_function_is_both(name):

    room = getattr(rb, name)
    assert room is sys.modules[f"rnnbench.{name}"]
    assert callable(room)
    assert room.__wrapped__.__doc__.strip()


def test_an_old_module_does_not_take_the_place_of_a_function():
    with pytest.warns(DeprecationWarning, match="rnnbench.training.dry_run"):
        from rnnbench.check import check  # noqa: F401  (a plugin of an earlier version does)
    assert callable(rb.check)
    assert "check" in dir(rb)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'rum'"):
        rb.rum  # noqa: B018
