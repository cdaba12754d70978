"""A pruner that can stop no trial is told, with what to write instead."""

import pytest
from support.searching import sweep_text
from support.small_sweeps import Notes, run

from rnnbench.spec.run_spec import Budget
from rnnbench.sweep.file.sweep import parse_sweep
from rnnbench.sweep.search.idle_pruner import why_never

STEPS = Budget(steps=100, validate_every=10)


def why(pruner, trials=20, budgets=(STEPS,), more=""):
    text = sweep_text(more=f"pruner: {pruner}\n{more}", trials=trials)
    return why_never(parse_sweep(text).search, trials, budgets)


@pytest.mark.parametrize(
    ("pruner", "words"),
    [
        ("{name: asha, min_steps: 500}", "min_steps: 500 is beyond step 90.*write min_steps: 90"),
        ("{name: asha, min_steps: 91}", "min_steps: 91"),
        ("{name: hyperband, min_steps: 200, max_steps: 900}", "min_steps: 200"),
        ("{name: median, warmup_steps: 100}", "warmup_steps: 100 is beyond step 90"),
        ("{name: threshold, upper: 3, warmup_steps: 95}", "warmup_steps: 95"),
        ("{name: median, startup_trials: 20}", "startup_trials: 20 are to end.*there are 20"),
        ("{name: patient, patience: 8}", "patience: 8 needs 10 validations.*which has 9"),
    ],
)
def test_a_pruner_beyond_the_budget_never_acts(pruner, words):
    import re

    assert re.search(words, why(pruner) or "")


@pytest.mark.parametrize(
    "pruner",
    [
        "none", "median", "{name: asha, min_steps: 90}", "{name: median, warmup_steps: 90}",
        "{name: patient, patience: 7}", "{name: threshold, upper: 3}",
        "{name: hyperband, min_steps: 10, max_steps: 100}",
    ],
)  # fmt: skip
def test_a_pruner_that_may_act_is_not_complained_of(pruner):
    assert why(pruner) is None


def test_runs_that_are_validated_at_their_end_alone_cannot_be_pruned():
    said = why("median", budgets=[Budget(steps=50, validate_every=50)])
    assert "validated at its end alone (budget.validate_every: 50)" in said


def test_of_budgets_the_largest_counts_and_other_units_say_nothing():
    pruner = "{name: asha, min_steps: 500}"
    assert why(pruner, budgets=[STEPS, Budget(steps=1000, validate_every=100)]) is None
    assert why(pruner, budgets=[Budget(epochs=1.0)]) is None


def test_wilcoxon_needs_a_seed_after_those_that_every_trial_may_run():
    pruner = "{name: wilcoxon, min_seeds: 3}"
    assert "min_seeds: 3 are all of the 3 seeds" in why(pruner, more="seeds: [1, 2, 3]")
    assert why(pruner, more="seeds: [1, 2, 3, 4]") is None


def test_a_sweep_says_it_at_its_start_and_at_its_end(tmp_path):
    notes = Notes()
    text = sweep_text(more="pruner: {name: asha, min_steps: 900000}", trials=2)
    outcome = run(text, tmp_path, progress=notes)
    said = [n for n in notes.notes if "never stops a trial" in n]
    assert said == list(outcome.remarks)
    assert len(said) == 1
    assert "asha never stops a trial: min_steps: 900000 is beyond step" in said[0]
