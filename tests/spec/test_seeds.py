"""Seeds: which are taken, and what is said of the others before anything is computed."""

import pytest
from support.command_line import call
from support.searching import sweep_text

from rnnbench.errors import SpecError, SweepError
from rnnbench.spec.compose import compose
from rnnbench.spec.from_command_line import read_request
from rnnbench.sweep.file.sweep import parse_sweep

TOO_LARGE = [2**63, 2**64, 10**30, -1]


@pytest.mark.parametrize("seed", TOO_LARGE)
def test_a_seed_that_no_database_holds_is_refused_before_compute(seed, tmp_path):
    with pytest.raises(SpecError, match=f"from 0 to {2**63 - 1}, got {seed}"):
        compose("adding", "gru", seed=seed)
    assert str(seed) in call("run", "adding", "gru", "--seed", seed, "--out", tmp_path, code=2)
    assert not (tmp_path / "runs").exists()
    file = tmp_path / "run.yaml"
    file.write_text(f"task: adding\narchitecture: gru\nseed: {seed}\n")
    with pytest.raises(SpecError, match=f"run.yaml:3: a seed is .*got {seed}"):
        read_request(None, None, [], [], file, None, True)
    for more in ({"final": f"final: {{seeds: [1, {seed}]}}"}, {"more": f"seeds: [1, {seed}]"},
                 {"more": f"seed: {seed}"}):  # fmt: skip
        with pytest.raises(SweepError, match=f"sweep:.*got {seed}"):
            parse_sweep(sweep_text(**more))
    said = call("sweep", "extend", "x", "--seed", seed, "--out", tmp_path, code=2)
    assert str(seed) in said


@pytest.mark.parametrize(
    ("typed", "said"),
    [("010", "octal to others: write 10"), ("0x10", "0x10 (write 16)"), ("1_0", "1_0 (write 10)"),
     ("1.5", "got 1.5"), ("", "got null"), ("'3", "whole number")],
)  # fmt: skip
def test_a_typed_seed_is_read_as_that_of_a_file(typed, said):
    assert said in " ".join(call("check", "adding", "gru", "--seed", typed, code=2).split())
    assert said in " ".join(call("sweep", "extend", "x", "--seed", typed, code=2).split())


def test_the_largest_seed_runs_and_stands_in_the_index(tmp_path):
    call(
        "run", "digits", "gru", "task.step=row", "architecture.hidden=4", "budget.steps=2",
        "budget.validate_every=2", "--seed", 2**63 - 1, "--out", tmp_path,
    )  # fmt: skip
    assert "gru" in call("leaderboard", "--out", tmp_path)


def test_a_wrong_seed_is_named_as_it_was_written_and_not_by_its_place():
    for more in ({"final": "final: {seeds: [1, 010, 0x10]}"}, {"more": "seeds: [1, 010, 0x10]"}):
        with pytest.raises(SweepError) as error:
            parse_sweep(sweep_text(**more))
        said = str(error.value)
        assert "seeds: a seed is a whole number" in said
        assert "010" in said
        assert "0x10 (write 16)" in said


@pytest.mark.parametrize(
    ("written", "shown"),
    [("1.5", "1.5"), ("true", "true"), ("null", "null"), ("x", "'x'"), ("'7'", "7 (write 7)")],
)
def test_what_is_no_whole_number_is_no_seed(written, shown):
    with pytest.raises(SweepError) as error:
        parse_sweep(sweep_text(final=f"final: {{seeds: [{written}]}}"))
    assert f"got {shown}" in str(error.value)
