"""Published figures of the baselines: under a minute each on a free core; `pytest -m slow`."""

from pathlib import Path

import pytest
from real_data import here
from test_outcomes import trained

from rnnbench.compose import compose, instantiate
from rnnbench.reproduce import read_recipe
from rnnbench.sweep.file import read_sweep

pytestmark = pytest.mark.slow

RECIPES = Path(__file__).parent.parent / "sweeps/reproduce"


@pytest.mark.parametrize("name", ["seasonal-naive", "kneser-ney-ptb", "dlinear-etth1"])
def test_a_baseline_reaches_its_published_figure(name, tmp_path):
    reached(name, tmp_path)


def test_segrnn_reaches_its_published_figure(tmp_path):
    figures = reached("segrnn-etth1", tmp_path)
    assert figures["mse"] < 0.8 * 0.512  # the last day again


def reached(name, root):
    """The test figures of the first seed of a recipe's sweep, held against what it expects."""
    recipe = read_recipe(RECIPES / f"{name}.yaml")
    sweep = read_sweep(recipe.sweep)
    (cell,) = sweep.cells()
    fixed = {k: value for k, (value, _) in sweep.fixed(cell).items()}
    here(instantiate(compose(cell.task, cell.architecture, cell.tricks, fixed))[0])
    settings = {k.replace(".", "__"): value for k, value in fixed.items()}
    figures, _ = trained(
        root, cell.task, cell.architecture, cell.tricks, seed=sweep.seeds[0], **settings
    )
    for expected in recipe.expect:
        assert figures[expected.metric] == pytest.approx(expected.value, abs=expected.tolerance), (
            expected.metric
        )
    return figures
