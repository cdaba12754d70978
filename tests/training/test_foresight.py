"""A model that sees what it may not is refused by the dry run; what only looks like it is not."""

from dataclasses import dataclass

import pytest
import torch
from support.toys import TOYS, TinyLSTM
from torch import nn

from rnnbench.contract import Architecture, Backbone, Refusal, Result, Trick
from rnnbench.nn import scan
from rnnbench.nn.models.base import Embed, Model
from rnnbench.nn.scan.choice import chosen
from rnnbench.registry.registry import discover, load
from rnnbench.testing.fixtures.toy_tasks import MORE_TOYS, Toy
from rnnbench.testing.law import tiny
from rnnbench.training.dry_run import check
from rnnbench_architectures.bidirectional import Bidirectional
from rnnbench_tricks.recurrent_batch_norm import RecurrentBatchNorm


class Reader(Backbone):
    """Puts out what a function makes of the input, read linearly."""

    width = 8

    def __init__(self, d_in, read):
        super().__init__()
        self.map, self.gate = nn.Linear(d_in, 8), nn.Parameter(torch.zeros(1))
        self.norm = nn.BatchNorm1d(8, track_running_stats=False)
        self.read = read

    def forward(self, x_BTD, state=None, layout=None):
        return self.read(self, self.map(x_BTD)), ()


def architecture(read):
    class Made(Architecture):
        hidden = 8

        def build(self, d_in, *, causal):
            return Reader(d_in, read)

    return Made()


def filtered(own, h):
    """Convolve over time through a Fourier transform in single precision, as many do."""
    steps = h.shape[1]
    kernel = torch.fft.rfft(torch.linspace(1, 0, steps)[:, None], n=2 * steps, dim=0)
    spectrum = torch.fft.rfft(h.float(), n=2 * steps, dim=1) * kernel
    return torch.fft.irfft(spectrum, n=2 * steps, dim=1)[:, :steps].to(h.dtype)


SEES = {
    "the next step": lambda own, h: h.roll(-1, 1),
    "a later step": lambda own, h: h + h.roll(-2, 1),
    "the mean of all": lambda own, h: h + h.mean(1, keepdim=True),
    "the next, where a gate opens": lambda own, h: h + own.gate * h.roll(-1, 1),
    "the next, without a gradient": lambda own, h: h + h.roll(-1, 1).detach(),
    "the next, a little": lambda own, h: h + 1e-5 * h.roll(-1, 1),
    "the next, at odd places": lambda own, h: (
        h + (torch.arange(h.shape[1]) % 2)[:, None] * h.roll(-1, 1)
    ),
}
MIXES = {
    "the mean of rows": lambda own, h: h - h.mean(0, keepdim=True),
    "batch statistics": lambda own, h: own.norm(h.transpose(1, 2)).transpose(1, 2),
    "the row before": lambda own, h: h + h.roll(1, 0),
}
MAY = {
    "each step": lambda own, h: torch.tanh(h),
    "a running sum": lambda own, h: h.cumsum(1),
    "a filter with rounding": filtered,
    "one precision": lambda own, h: torch.nn.functional.linear(h, torch.ones(8, 8)),
    "no batch statistics": lambda own, h: h / (1 + h.square().mean(-1, keepdim=True)),
}


@pytest.mark.parametrize("read", SEES.values(), ids=SEES)
def test_a_backbone_that_looks_ahead_is_refused_with_the_step_that_it_read(read):
    step = r"the output of step \d changes when the input of step \d does\."
    with pytest.raises(Refusal, match=rf"made on toy looks ahead: {step}\n.*\n.*check-plugin made"):
        check(architecture(read), TOYS["lm"])


@pytest.mark.parametrize("block", [100, 128, 200, 256, 512])
def test_a_backbone_that_looks_ahead_in_later_blocks_is_refused_on_rows_of_many_blocks(block):
    def read(own, h):
        ahead = torch.cat([part.roll(-1, 1) for part in h.split(block, 1)], 1)
        later = torch.arange(h.shape[1]) >= block
        return torch.where(later[:, None], ahead, h)

    batch = TOYS["lm"].example()
    times = 784 // batch.x.shape[1] + 1
    rows = batch._replace(x=batch.x[:2].repeat(1, times), y=batch.y[:2].repeat(1, times))
    check(architecture(read), TOYS["lm"])  # on rows of one block it sees nothing
    with pytest.raises(Refusal, match=r"looks ahead: the output of step \d{3} changes"):
        check(architecture(read), TOYS["lm"], batch=rows)
    check(architecture(MAY["a running sum"]), TOYS["lm"], batch=rows)


@pytest.mark.parametrize("toy", ["translate", "caption", "forecast"])
def test_a_decoder_that_sees_its_own_target_is_refused(toy):
    with pytest.raises(Refusal, match="sees what it is to predict: the output of step 1 changes"):
        check(architecture(SEES["the next step"]), TOYS[toy])


@pytest.mark.parametrize("toy", ["lm", "classify", "translate", "look-ahead"])
@pytest.mark.parametrize("read", MIXES.values(), ids=MIXES)
def test_rows_that_read_each_other_are_refused_on_tasks_of_every_kind(read, toy):
    with pytest.raises(Refusal, match="lets rows read each other"):
        check(architecture(read), {**TOYS, **MORE_TOYS}[toy])


@pytest.mark.parametrize("toy", ["lm", "tagging", "translate", "classify", "look-ahead"])
@pytest.mark.parametrize("read", MAY.values(), ids=MAY)
def test_rounding_is_no_foresight(read, toy):
    check(architecture(read), {**TOYS, **MORE_TOYS}[toy])


def test_where_the_task_allows_looking_ahead_nobody_is_refused_for_it():
    for read in SEES.values():
        check(architecture(read), MORE_TOYS["look-ahead"])
        check(architecture(read), TOYS["classify"])
    check(Bidirectional(hidden=4), MORE_TOYS["look-ahead"])


def test_batch_statistics_of_training_are_none_at_evaluation():
    check(TinyLSTM(), TOYS["lm"], [RecurrentBatchNorm()])


def test_a_whole_model_that_reads_its_target_is_refused():
    class Copying(Model):
        def __init__(self, task):
            super().__init__(task.target)
            self.embed, self.readout = Embed(task.source, 8), self.readout_for(8)

        def forward(self, batch, state=None, feed=None):
            h = self.embed(batch.x)
            out = self.readout(h)
            truth = torch.nn.functional.one_hot(batch.y, out.shape[-1])
            return Result(out + truth, h, state)

    class Copies(Architecture):
        def model(self, task):
            return Copying(task)

    with pytest.raises(Refusal, match="copies on toy sees what it is to predict"):
        check(Copies(), TOYS["lm"])


def test_a_trick_that_looks_ahead_is_named_and_the_architecture_is_not():
    class Ahead(Backbone):
        def __init__(self, inner):
            super().__init__()
            self.inner, self.width = inner, inner.width

        def forward(self, x_BTD, state=None, layout=None):
            y, state = self.inner(x_BTD, state, layout)
            return y + y.roll(-1, 1), state

    class Shifts(Trick):
        def model(self, model, task):
            model.backbone = Ahead(model.backbone)
            return model

    with pytest.raises(Refusal, match=r"lstm \+ shifts on toy looks ahead") as refusal:
        check(TinyLSTM(), TOYS["lm"], [Shifts()])
    assert str(refusal.value).splitlines()[-1].strip().startswith("Mend shifts, whose laws")


def test_a_model_that_takes_no_changed_input_is_let_by_with_a_warning():
    def strict(own, h):
        if len(h) > 4:
            raise ValueError("four rows at most")
        return h

    with pytest.warns(RuntimeWarning, match="looks ahead is not tried here: ValueError: four rows"):
        check(architecture(strict), TOYS["lm"])


def test_a_model_that_is_too_large_to_be_built_for_it_is_let_by_with_a_warning(monkeypatch):
    monkeypatch.setattr("rnnbench.training.checks.foresight.LARGEST", 100)
    with pytest.warns(RuntimeWarning, match=r"not tried here: it has \d+ numbers"):
        check(TinyLSTM(), TOYS["lm"])


def test_a_stream_of_single_steps_is_read_in_longer_pieces():
    @dataclass(frozen=True)
    class OneStep(Toy):
        def example(self, seed=0):
            batch = super().example(seed)
            return batch._replace(x=batch.x[:, :1], y=batch.y[:, :1])

    with pytest.raises(Refusal, match="looks ahead"):
        check(architecture(SEES["the next step"]), OneStep(ports=TOYS["lm"].ports))
    check(TinyLSTM(), OneStep(ports=TOYS["lm"].ports))


def test_the_check_moves_neither_random_numbers_nor_the_tier_of_the_scan():
    scan.use("auto")
    before = torch.get_rng_state()
    check(TinyLSTM(), TOYS["lm"])
    assert torch.equal(before, torch.get_rng_state())
    assert (chosen(), scan.report()) == ("auto", [])


def test_no_architecture_of_rnnbench_is_refused_for_what_it_sees():
    said = []
    for name in discover()[0]["architectures"]:
        for toy in ("lm", "translate"):
            try:
                check(tiny(load("architectures", name)), TOYS[toy], device="cpu")
            except Refusal as refusal:
                said.append(str(refusal))
    assert not [text for text in said if "is no prediction" in text]
