"""Published figures of the baselines, one seed each: seconds to a minute or two on a free core."""

import pytest
from support import ROOT
from support.real_data import here

from rnnbench.leaderboard.boards import build
from rnnbench.leaderboard.reproduce import judge, read_recipe
from rnnbench.results.store import Store
from rnnbench.spec.compose import compose
from rnnbench.spec.instantiate import instantiate
from rnnbench.sweep.file.sweep import read_sweep
from rnnbench.training.execute import execute
from rnnbench.training.resolve import resolve

pytestmark = pytest.mark.slow

RECIPES = ROOT / "sweeps/reproduce"


@pytest.mark.parametrize(
    "name", ["seasonal-naive", "kneser-ney-ptb", "dlinear-etth1", "segrnn-etth1"]
)
def test_the_first_seed_of_a_recipe_reaches_the_published_figures(name, tmp_path):
    recipe = read_recipe(RECIPES / f"{name}.yaml")
    sweep = read_sweep(recipe.sweep)
    (cell,) = sweep.cells()
    fixed = {k: value for k, (value, _) in sweep.fixed(cell).items()}
    seed = sweep.seeds[0]
    spec = compose(cell.task, cell.architecture, cell.tricks, fixed, seed=seed)
    here(instantiate(spec)[0])
    record = execute(resolve(spec), store=Store(tmp_path))
    print(f"{record.run_id} seed {seed}: {record.metrics['test']}")
    report = judge(recipe, build([record]))
    assert report.outcome in ("exact", "within tolerance"), report
    assert all(held for *_, held in report.order), report
