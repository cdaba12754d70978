"""Searches that cannot be are refused with the reason, and the place in the file."""

import pytest
from support.fake_work import FAKE_PLUGINS
from support.searching import BOTH, LAYERED, LR, SEVERAL, cells, sweep_text
from support.small_sweeps import rows_of

from rnnbench.errors import SweepError
from rnnbench.sweep.file.sweep import parse_sweep
from rnnbench.sweep.plan import plan_cells

REFUSED = [
    ("nsga2", "", BOTH, "seeks compromises between objectives, and this search has one"),
    ("cmaes", SEVERAL, BOTH, "cmaes seeks one objective"),
    ("cmaes", "", "{architecture.activation: auto, " + LR + "}", "activation is a choice"),
    ("cmaes", "", "{" + LR + "}", "needs two numbers or more"),
    ("cmaes", "constraints: {parameters: {at_most: 9}}", BOTH, "does not learn from constraints"),
    ("random", f"{SEVERAL}\npruner: median", BOTH, "median compares trials by one value"),
    ("grid", "start: [published]", BOTH, "a grid runs every point in any case"),
    ("grid", "", BOTH, "a grid needs optimizer.lr with a step"),
    ("qmc", "start: [{sweep: other}]", BOTH, "qmc does not learn from the trials of another"),
    ("tpe", "pruner: wilcoxon", BOTH, "give three seeds or more"),
    ("tpe", "pruner: median\nseeds: [0, 1]", BOTH, "has as many curves"),
    ("tpe", f"{SEVERAL}\nstop: gain", BOTH, "a gain is defined for one objective"),
    ("tpe", "objectives: [parameters]", BOTH, "the first objective is validation"),
    ("tpe", "objectives: [validation, paramters]", BOTH, "did you mean 'parameters'"),
    ("tpe", "constraints: {parameters: {at_most: -1}}", BOTH, "a number above 0"),
    ("tpe", "constraints: {parameters: {}}", BOTH, "needs at_most, at_least, or both"),
    ("tpe", "start: [{architecture.hidden: 65}]", BOTH, "architecture.hidden=65 (given) is not in"),
    ("tpe", "start: [{architecture.hiden: 9}]", BOTH, "did you mean 'architecture.hidden'"),
    ("tpe", "start: [{sweep: sweep}]", BOTH, "is this sweep itself"),
    ("tpe", "start: [{sweep: nobody}]", BOTH, "know no sweep 'nobody'"),
    ("tpe", "timeout: 2 fortnights", BOTH, "timeout is seconds, or such as 90s"),
    ("tpe", "seed: 4\nseeds: [0, 1]", BOTH, "it has to be one of seeds"),
]  # fmt: skip


@pytest.mark.parametrize(("sampler", "more", "space", "words"), REFUSED)
def test_what_a_search_cannot_do_is_refused_with_the_reason(sampler, more, space, words, tmp_path):
    text = sweep_text(more, sampler=sampler, space=space)
    with pytest.raises(SweepError) as caught, cells(text, tmp_path):
        pass
    message = str(caught.value)
    assert words in message
    assert message.startswith("sweep:")
    assert not rows_of(tmp_path)


@pytest.mark.parametrize("sampler", ["gp", "cmaes", "nsga2"])
def test_a_sampler_that_would_draw_conditional_settings_at_random_is_refused(sampler):
    more = SEVERAL if sampler == "nsga2" else ""
    text = sweep_text(more, sampler=sampler, architecture="layered", space=LAYERED)
    with pytest.raises(SweepError, match=r"would draw architecture.dropout at random"):
        plan_cells(parse_sweep(text), FAKE_PLUGINS)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("30m", 1800), ("2h", 7200), ("1.5d", 129600)]
)
def test_a_timeout_is_read_in_its_unit(text, seconds):
    assert parse_sweep(sweep_text(f"timeout: {text}")).search.timeout == seconds
