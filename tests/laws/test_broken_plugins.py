"""Every law can fail: each is broken by a plugin with the fault that it speaks of, and names it."""

import pytest

from laws.broken_plugins import BROKEN
from rnnbench.testing import verdict

CASES = [
    pytest.param(next(law for law in kind.laws.all if law.name == name), plugin, words,
                 id=f"{kind.__name__}-{name}-{type(plugin).__name__}")
    for kind, broken in BROKEN.items()
    for name, plugin, words in broken
]  # fmt: skip


@pytest.mark.parametrize(("law", "plugin", "words"), CASES)
def test_a_fault_is_found_and_named(law, plugin, words):
    found = verdict(law, plugin)
    assert found.outcome == "broken", found
    assert words in found.example


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_no_law_is_without_a_broken_plugin(kind):
    assert {name for name, _, _ in BROKEN[kind]} == {law.name for law in kind.laws.all}


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_every_law_says_in_a_line_what_it_promises_and_where_to_mend(kind):
    for law in kind.laws.all:
        assert law.statement.endswith(".")
        assert law.mend.endswith(".")
        assert len(law.statement) < 110, law.name
    names = [law.name for law in kind.laws.all]
    assert len(set(names)) == len(names)


def test_a_broken_law_fails_a_test_with_its_statement_its_example_and_the_remedy():
    from laws.broken.task_data import DropsTheLast
    from rnnbench.testing import Broken, TaskLaws

    class TestDropsTheLast(TaskLaws):
        tiny = DropsTheLast()

    with pytest.raises(Broken) as failure:
        TestDropsTheLast().test_no_item_is_dropped()
    statement, example, mend = str(failure.value).splitlines()
    assert statement == "Evaluation reads every item exactly once, whatever the batch size."
    assert "items of 90" in example
    assert mend.startswith("  To mend: Keep the last, smaller batch")


def test_a_law_that_does_not_apply_is_shown_as_skipped_with_its_reason():
    from laws.broken.right_tasks import Majority
    from rnnbench.testing import TaskLaws

    class TestMajority(TaskLaws):
        tiny = Majority()

    with pytest.raises(BaseException, match="no state is carried") as skipped:
        TestMajority().test_streams_continue()
    assert type(skipped.value).__name__ == "SkipTest"


def test_a_verdict_disturbs_neither_random_numbers_nor_threads():
    import random

    import numpy as np
    import torch

    from laws.broken.architecture_models import NoisyAlways
    from laws.broken.built import architecture
    from rnnbench.testing import ArchitectureLaws

    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    for law in ArchitectureLaws.laws.all[:4]:
        verdict(law, architecture(NoisyAlways))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (np.random.get_state()[1].tolist(), random.getstate())
