"""`rnnbench reproduce`: recipes, and what is said of how near we came."""

import pytest
from support import ROOT
from support.command_line import call
from support.fake_records import make_record, make_spec

from rnnbench.leaderboard.boards import build
from rnnbench.leaderboard.reproduce import RecipeError, judge, read_recipe, recipes
from rnnbench.results.record import Status
from rnnbench.sweep.file.sweep import read_sweep

SWEEP = """
name: tiny-recipe
tasks: [{name: adding, length: 12}]
architectures: [{name: gru, hidden: 4}, {name: elman, hidden: 4}]
settings: {all: {budget.steps: 3, budget.validate_every: 3}}
final: {seeds: [1]}
"""
HEAD = """
claim: c
paper: p
where: w
takes: t
sweep: tiny.yaml
"""
EXACT = "expect: [{row: gru, metric: mse, value: 0.120, tolerance: 0.02}]\n"
BEATS = "order: [[gru, elman]]\n"


@pytest.fixture
def write(tmp_path):
    (tmp_path / "tiny.yaml").write_text(SWEEP)

    def write(text):
        (tmp_path / "recipe.yaml").write_text(HEAD + text)
        return read_recipe(tmp_path / "recipe.yaml")

    return write


def boards(gru, elman=0.5):
    """Of two architectures on adding, with these errors; None: its run failed."""
    records = []
    for name, value in (("gru", gru), ("elman", elman)):
        spec = make_spec("adding", name)
        if value is None:
            records.append(make_record(spec, status=Status.NAN, reason="loss at step 3"))
        else:
            records.append(make_record(spec, value))
    return build(records)


@pytest.mark.parametrize("recipe", recipes(ROOT / "sweeps/reproduce"), ids=lambda r: r.name)
def test_a_shipped_recipe_names_a_paper_and_a_sweep_that_can_be_read(recipe):
    read_sweep(recipe.sweep)
    assert "arXiv" in recipe.paper or "doi" in recipe.paper


@pytest.mark.parametrize(
    ("ours", "more", "outcome"),
    [
        (0.1204, "", "exact"),
        (0.1396, "", "within tolerance"),
        (0.1404, "", "missed"),
        (0.3, BEATS, "qualitative"),
        (0.6, BEATS, "missed"),
        (None, BEATS, "missed"),
    ],
)
def test_the_outcome_follows_from_the_distance_and_else_from_the_order(write, ours, more, outcome):
    assert judge(write(EXACT + more), boards(ours)).outcome == outcome


@pytest.mark.parametrize(
    ("bound", "ours", "outcome"),
    [
        ("at most", 0.11, "within tolerance"),
        ("at most", 0.13, "missed"),
        ("at least", 0.13, "within tolerance"),
        ("at least", 0.11, "missed"),
    ],
)
def test_a_bound_is_no_more_than_what_the_paper_claims(write, bound, ours, outcome):
    text = f"expect: [{{row: gru, metric: mse, value: 0.12, bound: {bound}}}]\n"
    assert judge(write(text), boards(ours)).outcome == outcome


def test_an_order_alone_is_qualitative_and_one_that_fails_loses_to_one_that_does_not(write):
    assert judge(write(BEATS), boards(0.1)).outcome == "qualitative"
    assert judge(write(BEATS), boards(0.1, None)).outcome == "qualitative"
    assert judge(write(BEATS), boards(0.5)).outcome == "missed"


def test_what_has_no_result_was_not_attempted(write):
    assert judge(write(EXACT), []).outcome == "not attempted"
    untested = build([make_record(make_spec("adding", "gru", test=False), 0.1)])
    assert judge(write(EXACT), untested).outcome == "not attempted"


def test_a_trivial_baseline_can_stand_in_a_recipe(write):
    text = "order: [[gru, mean of the targets]]\n"
    assert judge(write(text), boards(0.1)).outcome == "qualitative"
    assert judge(write(text), boards(0.2)).outcome == "missed"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "give expect"),
        (EXACT + "orders: []\n", "unknown key 'orders'; did you mean 'order'"),
        ("order: [[gru]]\n", "order is a list of pairs"),
        ("expect: [{row: gru, metric: mse, value: x, tolerance: 1}]\n", "are numbers"),
        ("expect: [{row: gru, metric: mse, value: 1}]\n", "a tolerance or a bound"),
        ("expect: [{row: gru, metric: mse, value: 1, bound: near}]\n", "'at most' or 'at least'"),
        ("expect: [{row: gru, metric: mse, value: .nan, tolerance: 1}]\n", "are finite"),
    ],
)
def test_a_mistake_in_a_recipe_is_told_with_its_line(write, text, said):
    with pytest.raises(RecipeError, match=r"recipe.yaml:\d+") as caught:
        write(text)
    assert said in str(caught.value)


def test_a_row_or_metric_that_is_not_there_is_told_with_those_that_are(write):
    with pytest.raises(RecipeError, match=r"no row .* match 'lstm'; they are: .*gru"):
        judge(write("order: [[lstm, gru]]\n"), boards(0.1))
    text = "expect: [{row: gru, metric: mae, value: 1, tolerance: 1}]\n"
    with pytest.raises(RecipeError, match="gru has no 'mae'"):
        judge(write(text), boards(0.1))


def test_a_recipe_is_run_reported_and_listed(write, tmp_path, monkeypatch):
    write("expect: [{row: gru, metric: mse, value: 0, bound: at least}]\n")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweeps").mkdir()
    folder = tmp_path / "sweeps" / "reproduce"
    folder.mkdir()
    for name in ("tiny.yaml", "recipe.yaml"):
        (tmp_path / name).rename(folder / name)
    (folder / "tiny.yaml").rename(tmp_path / "sweeps" / "tiny.yaml")
    text = (folder / "recipe.yaml").read_text().replace("tiny.yaml", "../tiny.yaml")
    (folder / "recipe.yaml").write_text(text)
    assert "not attempted" in call("reproduce")
    before = call("reproduce", "recipe", "--report", code=1)
    assert "recipe: not attempted" in before
    done = call("reproduce", "recipe", "--no-html")
    assert "2 of 2 final runs done" in done
    assert "recipe: within tolerance" in done
    assert "within tolerance" in call("reproduce")
    ignored = call("reproduce", "recipe", "--report", "--workers", 2, code=2)
    assert "--workers would be ignored: nothing is run" in ignored
    assert "did you mean 'recipe'" in call("reproduce", "recipes", code=2)
