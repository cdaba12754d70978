"""Every law can fail: each is broken by a plugin with the fault that it speaks of, and names it."""

import pytest

from laws.broken_plugins import BROKEN, SUSPECT
from rnnbench.testing import verdict

CASES = [
    pytest.param(next(law for law in kind.laws.all if law.name == name), plugin, outcome, words,
                 id=f"{kind.__name__}-{name}-{type(plugin).__name__}")
    for outcome, faulty in (("broken", BROKEN), ("suspect", SUSPECT))
    for kind, cases in faulty.items()
    for name, plugin, words in cases
]  # fmt: skip


@pytest.mark.parametrize(("law", "plugin", "outcome", "words"), CASES)
def test_a_fault_is_found_and_named(law, plugin, outcome, words):
    found = verdict(law, plugin)
    assert found.outcome == outcome, found
    assert words in found.example


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_no_law_is_without_a_broken_plugin(kind):
    faulty = {name for name, _, _ in BROKEN[kind] + SUSPECT[kind]}
    assert faulty == {law.name for law in kind.laws.all}


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_every_law_says_in_a_line_what_it_promises_and_where_to_mend(kind):
    for law in kind.laws.all:
        assert law.statement.endswith(".")
        assert law.mend.endswith(".")
        assert len(law.statement) < 110, law.name
    names = [law.name for law in kind.laws.all]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("name", "plugin"), [("gradients_are_true", "Rounded"), ("weights_are_drawn", "TiedByACopy")]
)
def test_a_reason_that_a_plugin_declares_is_shown_in_place_of_the_fault(name, plugin, monkeypatch):
    from laws.broken import architecture_training
    from laws.broken.built import architecture
    from rnnbench.testing import ArchitectureLaws

    made = architecture(getattr(architecture_training, plugin))
    monkeypatch.setattr(type(made), "declares", {name: "it is meant"}, raising=False)
    found = {v.law.name: v for v in ArchitectureLaws.laws.judge(made)}
    assert found[name].outcome == "declared"
    assert found[name].example.startswith("it is meant (")


def test_a_reason_for_a_law_that_takes_none_is_refused(monkeypatch):
    from laws.broken.architecture_models import NoisyAlways
    from laws.broken.built import architecture
    from rnnbench.errors import PluginError
    from rnnbench.testing import ArchitectureLaws

    made = architecture(NoisyAlways)
    monkeypatch.setattr(type(made), "declares", {"causality": "I want to"}, raising=False)
    with pytest.raises(PluginError, match=r"no law of that name takes a reason; .*settings_do"):
        next(ArchitectureLaws.laws.judge(made))


def test_a_suspicion_is_a_warning_of_the_test():
    from laws.broken.architecture_training import TiedByACopy
    from laws.broken.built import architecture
    from rnnbench.testing import ArchitectureLaws
    from rnnbench.testing.law import LawWarning

    class TestTied(ArchitectureLaws):
        tiny = architecture(TiedByACopy)

    with pytest.warns(LawWarning, match="begin with the same random values"):
        TestTied().test_weights_are_drawn()


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
