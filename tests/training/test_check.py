"""Senseless combinations are refused with a reason; sensible ones pass, and are then trainable."""

import pytest
import torch
from support.real_data import absence
from support.toys import TOYS, TinyLSTM

from rnnbench.contract import Architecture, Backbone, Cell, Refusal, Trick
from rnnbench.nn import Stack
from rnnbench.registry.registry import discover, load
from rnnbench.spec.run_spec import Optimizer
from rnnbench.testing.law import tiny
from rnnbench.training.dry_run import check, sample
from rnnbench_architectures.n_gram import NGram
from rnnbench_architectures.transformer import Transformer
from rnnbench_tricks.clip import Clip
from rnnbench_tricks.scheduled_sampling import ScheduledSampling
from rnnbench_tricks.variational_dropout import VariationalDropout
from rnnbench_tricks.zoneout import Zoneout


def test_the_parameter_count_is_the_real_one():
    checked = check(TinyLSTM(), TOYS["lm"])
    embedding, cell, readout = 7 * 6, 4 * 6 * (6 + 6 + 2), 6 * 7 + 7
    assert checked == (embedding + cell + readout, "meta")


def test_a_dry_run_moves_no_random_state():
    before = torch.get_rng_state()
    check(TinyLSTM(), TOYS["translate"], [Zoneout(), ScheduledSampling()])
    assert torch.equal(before, torch.get_rng_state())


def test_zoneout_on_a_transformer_is_refused_with_what_to_do():
    with pytest.raises(Refusal) as refusal:
        check(Transformer(hidden=8, heads=2), TOYS["lm"], [Zoneout()])
    assert str(refusal.value).splitlines() == [
        "zoneout on transformer / toy.",
        "  zoneout acts on a recurrent cell; transformer on toy has none.",
        "  Drop zoneout, or see: rnnbench describe zoneout",
    ]


def test_scheduled_sampling_where_nothing_is_decoded_is_refused():
    with pytest.raises(Refusal, match="decodes nothing"):
        check(TinyLSTM(), TOYS["lm"], [ScheduledSampling()])
    check(TinyLSTM(), TOYS["forecast"], [ScheduledSampling()])


def test_a_refusal_by_a_building_block_names_the_combination():
    class Whole(Cell):
        width = 6

        def initial(self, x_BD):
            return (torch.zeros_like(x_BD),)

        def step(self, x_BD, state):
            h = torch.tanh(x_BD + state[0])
            return h, (h,)

    class WholeStep(Architecture):
        hidden = 6

        def build(self, d_in, *, causal):
            return Stack([Whole()])

    with pytest.raises(Refusal, match=r"^variational-dropout on whole-step / toy.\n.*as a whole"):
        check(WholeStep(), TOYS["lm"], [VariationalDropout()])


def test_two_estimators_are_refused():
    class One(Trick):
        def estimator(self, inner):
            return inner

    class Two(One):
        pass

    with pytest.raises(Refusal, match="one and two each estimate the gradient"):
        check(TinyLSTM(), TOYS["lm"], [One(), Two()])
    check(TinyLSTM(), TOYS["lm"], [One()])


def test_an_optimiser_setting_without_effect_is_refused():
    with pytest.raises(Refusal, match="adam has no momentum"):
        check(TinyLSTM(), TOYS["lm"], optimizer=Optimizer(momentum=0.9))
    check(TinyLSTM(), TOYS["lm"], optimizer=Optimizer(name="sgd", momentum=0.9))


def test_an_unknown_optimiser_is_refused_with_the_known_ones():
    with pytest.raises(Refusal, match="adamw"):
        check(TinyLSTM(), TOYS["lm"], optimizer=Optimizer(name="adm"))


def test_a_fault_inside_a_plugin_is_reported_as_one():
    class Faulty(Architecture):
        hidden = 4

        def build(self, d_in, *, causal):
            return 1 // 0

    with pytest.raises(Refusal, match=r"fails its dry run.*\n.*ZeroDivisionError.*test_check.py"):
        check(Faulty(), TOYS["lm"])


def test_control_flow_that_reads_values_is_checked_on_a_tiny_batch_and_says_so():
    class Peeking(Backbone):
        def __init__(self):
            super().__init__()
            self.width = 4
            self.map = torch.nn.Linear(4, 4)

        def forward(self, x_BTD, state=None, layout=None):
            if x_BTD.sum() > 1e9:
                x_BTD = x_BTD * 0
            return self.map(x_BTD), ()

    class Peeks(Architecture):
        hidden = 4

        def build(self, d_in, *, causal):
            return Peeking()

    assert check(Peeks(), TOYS["lm"], [Clip()]).device == "cpu"


def test_a_layout_that_the_architecture_cannot_read_is_refused():
    class Trees(Architecture):
        hidden = 4
        layouts = ("tree",)

    with pytest.raises(Refusal, match="reads tree layouts"):
        check(Trees(), TOYS["lm"])


def reason_of(refusal):
    lines = [line.strip() for line in str(refusal).splitlines()]
    return " ".join(lines[:-1])


def table(tasks, architectures, tricks, device="meta"):
    """A line for each combination on real tasks, and what failed instead of being refused."""
    lines, crashed = [], []
    for task_name in tasks:
        task = tiny(load("tasks", task_name))
        if absence(task):
            continue
        batch = sample(task)
        for architecture in architectures:
            plugin = tiny(load("architectures", architecture))
            for trick in tricks:
                name = f"{task_name} {architecture} {trick or 'bare'}"
                chosen = [tiny(load("tricks", trick))] if trick else []
                try:
                    checked = check(plugin, task, chosen, batch=batch, device=device)
                    lines.append(f"{name:<60} {checked.parameters:,} parameters")
                except Refusal as refusal:
                    lines.append(f"{name:<60} refused: {reason_of(refusal)}")
                    if "fails its dry run" in str(refusal):
                        crashed.append(str(refusal))
    return lines, crashed


# One of each make: streams of tokens, translation, vectors, a forecast, grids, trees, pointers.
UNLIKE = (
    "char-lm", "ui-en-de", "digits", "co2", "digits-grid", "listops", "convex-hull", "oscillator",
    "mqar", "influence-balancing",
)  # fmt: skip


def test_every_architecture_trains_a_step_on_a_task_of_some_make():
    """On the others it may or may not: the slow matrix below visits all."""
    unvisited = set(discover()[0]["architectures"])
    for task in UNLIKE:  # the next for those that this one refuses
        lines, crashed = table([task], sorted(unvisited), [None])
        assert not crashed, "\n".join(crashed)
        unvisited -= {line.split()[1] for line in lines if "parameters" in line}
    assert not unvisited, "each is possible on some task"


def test_every_trick_trains_a_step_on_some_task_and_is_refused_elsewhere():
    unvisited = set(discover()[0]["tricks"])
    for task in ("char-lm", "ui-en-de", "digits"):  # the next for those that this one refuses
        # Made, not without memory, in which exact estimators take minutes; their laws try both.
        lines, crashed = table([task], ["lstm"], sorted(unvisited), device="cpu")
        assert not crashed, "\n".join(crashed)
        unvisited -= {line.split()[2] for line in lines if "parameters" in line}
    assert not unvisited, "each is possible somewhere"


@pytest.mark.slow
def test_every_architecture_task_and_single_trick_trains_a_step_or_is_refused(capsys):
    """The whole matrix of what is installed, on the real tasks."""
    plugins, _ = discover()
    lines, crashed = table(plugins["tasks"], plugins["architectures"], [None, *plugins["tricks"]])
    with capsys.disabled():
        print("\n" + "\n".join(lines))
    assert not crashed, "\n".join(crashed)


def test_a_trick_on_a_model_that_learns_nothing_is_refused_unless_it_acts_at_evaluation():
    toy, counted = TOYS["lm"], NGram(order=2)
    assert check(counted, toy, batch=toy.example()).parameters == 0
    with pytest.raises(Refusal, match=r"clip changes how a model learns, and n-gram has no param"):
        check(counted, toy, [Clip()], batch=toy.example())
