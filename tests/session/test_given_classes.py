"""Code that was given as classes is known by what it does, of all that it uses."""

import textwrap

import pytest

from rnnbench.registry.given_classes import code_hash

CELL = """
    import torch
    from dataclasses import dataclass
    from rnnbench.contract import Architecture, setting

    SCALE = 2.0

    def helper(x):
        return x * SCALE

    class Part:
        def go(self, x):
            return helper(x)

    @dataclass(frozen=True)
    class Mine(Architecture):
        '''A thing.'''
        hidden: int = setting(8, "units")

        def build(self, d_in, *, causal):
            return Part().go(torch.zeros(1))
"""


def hash_of(text):
    namespace = {"__name__": "__main__"}
    exec(compile(textwrap.dedent(text), "cell", "exec"), namespace)
    return code_hash(namespace["Mine"])


@pytest.mark.parametrize(
    ("old", "new"),
    [("SCALE = 2.0", "SCALE = 3.0"), ("x * SCALE", "x + SCALE"), ("zeros(1)", "ones(1)"),
     ("helper(x)\n\n    @", "helper(x) + 1\n\n    @"), ("setting(8", "setting(9"),
     ("hidden: int", "hidden: float")],
)  # fmt: skip
def test_other_code_anywhere_in_what_it_uses_is_another_plugin(old, new):
    assert old in CELL
    assert hash_of(CELL.replace(old, new)) != hash_of(CELL)


@pytest.mark.parametrize(
    ("old", "new"), [("A thing.", "Another word."), ("SCALE = 2.0", "SCALE = 2.0  # why\n")]
)
def test_words_about_code_make_no_other_plugin(old, new):
    assert hash_of(CELL.replace(old, new)) == hash_of(CELL)


def test_the_same_code_has_the_same_hash_each_time():
    assert len({hash_of(CELL) for _ in range(3)}) == 1


def test_data_that_code_uses_are_part_of_it():
    text = CELL.replace("SCALE = 2.0", "import numpy as np\n    SCALE = np.arange(3)")
    assert hash_of(text) != hash_of(text.replace("arange(3)", "arange(4)"))
