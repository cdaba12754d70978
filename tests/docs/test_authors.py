"""The table against the authors' code has a row for everything, and its tests exist."""

import ast

import pytest
from support import ROOT

from rnnbench.docs.authors import ARCHITECTURES, ESTIMATORS, rows
from rnnbench.registry.registry import discover, schema

ROWS = {**ARCHITECTURES, **ESTIMATORS}
CHANGED = {"sam", "random-bptt-length"}  # they back-propagate, several times a batch


def of_rnnbench(kind):
    return {name for name, item in discover()[0][kind].items() if item.distribution == "rnnbench"}


def test_every_architecture_and_every_estimator_has_a_row():
    assert list(ARCHITECTURES) == sorted(of_rnnbench("architectures"))
    acts = {name for name in of_rnnbench("tricks") if "estimator" in schema("tricks", name).sites}
    assert set(ESTIMATORS) == {name for name in acts if name not in CHANGED}
    assert list(ESTIMATORS) == sorted(ESTIMATORS)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_names_a_test_that_there_is(name):
    path, _, test = ROWS[name].test.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_repositories_are_links_and_what_has_none_is_said_in_words():
    cells = {row[0]: row[1] for row in rows(ROWS)}
    assert cells["`mamba`"] == "[state-spaces/mamba](https://github.com/state-spaces/mamba)"
    assert cells["`clockwork`"] == "the paper's equations"
    assert cells["`lru`"].endswith("minimal-LRU) (by others)")
