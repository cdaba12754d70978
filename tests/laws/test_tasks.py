"""Every shipped task obeys the laws, and so do the right ones that broken tasks are made from."""

import pytest

from laws.broken.right_tasks import RIGHT
from laws.broken.task_leaks import Forecasts
from rnnbench.testing import TaskLaws, verdict
from rnnbench_tasks.adding import Adding
from rnnbench_tasks.char_lm import CharLM
from rnnbench_tasks.co2 import CO2
from rnnbench_tasks.digits import Digits
from rnnbench_tasks.seattle_weather import SeattleWeather
from rnnbench_tasks.ui_en_de import UiEnDe


class TestAdding(TaskLaws):
    tiny = Adding(length=10, train_items=300, valid_items=50, test_items=70)


class TestCharLM(TaskLaws):
    tiny = CharLM(length=50, characters=200_000, valid_characters=5000)


class TestCO2(TaskLaws):
    tiny = CO2(context=12, horizon=4)


class TestDigits(TaskLaws):
    tiny = Digits()


class TestDigitsByRows(TaskLaws):
    tiny = Digits(step="row")


class TestSeattleWeather(TaskLaws):
    tiny = SeattleWeather(context=7, horizon=3)


class TestUiEnDe(TaskLaws):
    tiny = UiEnDe()


@pytest.mark.parametrize(
    "plugin", [*RIGHT, Forecasts(), Forecasts(horizon=5)], ids=lambda plugin: plugin.name
)
def test_no_law_is_broken_by_what_is_right(plugin):
    found = {law.name: verdict(law, plugin) for law in TaskLaws.laws.all}
    faults = {k: v.example for k, v in found.items() if v.outcome in ("broken", "suspect")}
    assert faults == {}


def test_items_drawn_from_few_possible_ones_may_meet_by_chance():
    from laws.broken.task_data import SameDraws
    from rnnbench.contract import Batch
    from rnnbench.data import Generated, Items

    class Coins(SameDraws):
        def data(self, split, seed):
            def draw(rows, rng):
                import torch

                x = torch.randint(2, (rows, 5), generator=rng)
                return Batch(x, x[:, 0])

            if split == "train":
                return Generated(draw, 300, seed)
            return Items(Generated(draw, 90, {"valid": 7, "test": 8}[split]).batch((0, 40), None))

    law = next(law for law in TaskLaws.laws.all if law.name == "splits_are_disjoint")
    assert verdict(law, Coins()).outcome == "held"
