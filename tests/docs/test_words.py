"""Docstrings are sentences that a newcomer understands: they begin with a verb or a thing."""

import ast
import re

import pytest
from support import ROOT

# Beginnings that leave the reader to guess the verb.
RIDDLES = re.compile(r"(Of|Those|That|The same|What|By|As)\b")


@pytest.mark.parametrize("folder", ["rnnbench", "plugins"])
def test_no_docstring_begins_as_a_riddle(folder):
    riddles = []
    for file in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)):
                docstring = ast.get_docstring(node) or ""
                if RIDDLES.match(docstring):
                    first = docstring.splitlines()[0]
                    riddles.append(f"{file}: {getattr(node, 'name', 'module')}: {first}")
    assert riddles == []
