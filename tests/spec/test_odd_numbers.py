"""Settings that are no usable number, or given twice, are refused before anything is built."""

import pytest

from rnnbench.errors import SpecError
from rnnbench.spec.compose import compose
from rnnbench.spec.from_command_line import read_request


def ask(*settings, architecture="gru", tricks=(), file=None):
    return read_request("adding", architecture, settings, tricks, file, None, False)[0]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("optimizer.lr=.nan", r"command line: optimizer.lr = nan is not a number"),
        ("optimizer.lr=.inf", r"command line: optimizer.lr = inf is without end"),
        ("budget.seconds=.inf", r"budget.seconds = inf is without end"),
        ("budget.steps=99999999999999999999", r"budget.steps = 9{20} is larger than any number"),
        ("architecture.hidden=99999999999999999999", r"architecture.hidden = 9{20} is larger"),
        ("architecture.dropout=.nan", r"architecture.dropout = nan is not a number"),
    ],
)
def test_a_number_that_cannot_be_computed_with_is_refused_by_name(setting, said):
    with pytest.raises(SpecError, match=said):
        ask(setting)


def test_a_limit_without_end_is_still_one_for_clip():
    assert ask(tricks=["clip:limit=.inf"]).tricks[0].name == "clip"


def test_a_setting_given_twice_is_refused_and_not_decided_by_its_order():
    with pytest.raises(SpecError, match=r"optimizer.lr is given twice, as 1e-3 and as 1; keep one"):
        ask("optimizer.lr=1e-3", "optimizer.lr=1")
    with pytest.raises(SpecError, match=r"hidden is given twice, as 3 and as 4"):
        ask(architecture="gru:hidden=3,hidden=4")


@pytest.mark.parametrize(("seed", "shown"), [("[1]", r"\[1\]"), ("{a: 1}", "{'a': 1}"),
                                             ("1.0", r"1\.0"), ("0.0", r"0\.0")])  # fmt: skip
def test_a_seed_that_is_no_number_is_shown_as_it_was_written(seed, shown, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(f"seed: {seed}\n")
    with pytest.raises(SpecError, match=f"run.yaml:1: a seed is a whole number.*got {shown}"):
        ask(file=file)
    with pytest.raises(SpecError, match="a seed is a whole number"):
        compose("adding", "gru", seed=[1])
