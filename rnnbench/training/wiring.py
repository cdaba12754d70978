"""Turns any backbone into a model of p(y | x): a wiring for each kind of task, and another."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rnnbench.contract import Architecture, Backbone, Batch, Kind, Refusal, Result, State, Task
from rnnbench.nn import Attention, Decoder, Embed, Model, corners, ends, valid
from rnnbench.nn.direct_forecast import AtOnce
from rnnbench.nn.models.base import Feed


def wire(architecture: Architecture, task: Task) -> Model:
    """Return a fresh model of the architecture for the task.

    Raises:
        Refusal: the architecture cannot read the task's layout, or refuses it.
    """
    if task.source.layout not in (*architecture.layouts, "vector"):
        raise Refusal(
            f"{architecture.name} reads {' or '.join(architecture.layouts)} layouts; the source of "
            f"{task.name} is a {task.source.layout}.\n"
            "  Choose another task or architecture: rnnbench list"
        )
    own = architecture.model(task)
    if own is None:
        model: nn.Module = (Direct if task.at_once else WIRING[task.kind])(architecture, task)
    else:
        model = own
    if task.at_once and isinstance(model, Decoder):
        raise Refusal(
            f"{architecture.name} has a decoder of its own, which puts out a step after the other; "
            f"{task.name} asks for all of them at once.\n"
            "  Set task.output_steps=free-running, or choose an architecture such as gru."
        )
    if not isinstance(model, Model):
        raise TypeError(f"{architecture.name}.model returned a {type(model).__name__}, not a Model")
    for part in model.modules():
        if isinstance(part, Embed) and isinstance(part.map, nn.Embedding):
            table_VD = part.map.weight
            assert isinstance(table_VD, nn.Parameter)
            architecture.start_embedding(table_VD)
    return model


def pooled(y_BTH: Tensor, batch: Batch, how: str) -> Tensor:
    """Return (B, H), each row's outputs summarised over its true length."""
    if how == "last":
        if batch.x_len is None:
            return y_BTH[:, -1]
        rows = torch.arange(y_BTH.shape[0], device=y_BTH.device)
        return y_BTH[rows, batch.x_len - 1]
    if how == "first":  # where a source was read last step first
        return y_BTH[:, 0]
    mask_BT1 = valid(batch.x_len, y_BTH, y_BTH.shape[1])[..., None]
    if how == "mean":
        return (y_BTH * mask_BT1).sum(1) / mask_BT1.sum(1)
    if how == "max":
        return y_BTH.masked_fill(~mask_BT1, -torch.inf).amax(1)
    if how == "ends":
        return ends(y_BTH, batch.x_len)
    if how == "corners" and batch.grid is not None:
        return corners(y_BTH, batch.grid)
    raise ValueError(
        f"pool is {how!r}; it must be 'last', 'first', 'mean', 'max', 'ends', or 'corners' (grids)"
    )


class SequenceToVector(Model):
    """A model that embeds, runs, pools and reads out once."""

    def __init__(self, architecture: Architecture, task: Task):
        super().__init__(task.target)
        self.pool = architecture.pool
        self.embed = Embed(task.source, architecture.input_width)
        self.backbone = architecture.build(architecture.input_width, causal=False)
        self.readout = self.readout_for(self.backbone.width)

    def forward(self, batch: Batch, state: State = None, feed: Feed | None = None) -> Result:
        hidden, state = self.backbone(self.embed(batch.x), state, batch.layout)
        return Result(self.readout(pooled(hidden, batch, self.pool)), hidden, state)


class Aligned(Model):
    """A model that embeds, runs and reads out at each step."""

    def __init__(self, architecture: Architecture, task: Task):
        super().__init__(task.target)
        self.embed = Embed(task.source, architecture.input_width)
        self.backbone = architecture.build(architecture.input_width, causal=task.causal)
        self.readout = self.readout_for(self.backbone.width)

    def forward(self, batch: Batch, state: State = None, feed: Feed | None = None) -> Result:
        hidden, state = self.backbone(self.embed(batch.x), state, batch.layout)
        return Result(self.readout(hidden), hidden, state)

    def carry(self, state: State) -> State:
        return self.backbone.carry(state)


class VectorToSequence(Decoder):
    """A causal decoder whose every input is conditioned on the vector x."""

    def __init__(self, architecture: Architecture, task: Task):
        super().__init__(task.target)
        width = architecture.input_width
        self.condition = Embed(task.source, width)
        self.embed = Embed(task.target, width)
        self.backbone = architecture.build(width, causal=True)
        self.readout = self.readout_for(self.backbone.width)

    def begin(self, batch: Batch) -> State:
        return None, self.condition(batch.x)

    def extend(self, y: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        state, c_BD = state
        hidden, state = self.backbone(self.embed(y) + c_BD[:, None], state)
        return self.readout(hidden), hidden, (state, c_BD)


class Unaligned(Decoder):
    """An encoder and a causal decoder that attends to it.

    Every input of the decoder is conditioned on the encoder's pooled output (the fixed-length
    context of Cho et al. 2014, arXiv:1406.1078); its outputs attend to all encoder outputs
    (Luong et al. 2015), unless the architecture brings a decoder that attends by itself.
    """

    def __init__(self, architecture: Architecture, task: Task):
        super().__init__(task.target)
        self.pool = architecture.pool
        width = architecture.input_width
        self.source_embed = Embed(task.source, width)
        self.encoder = architecture.build(width, causal=False)
        self.condition = nn.Linear(self.encoder.width, width)
        self.embed = Embed(task.target, width)
        own = architecture.decoder(width, self.encoder.width)
        self.backbone = architecture.build(width, causal=True) if own is None else own
        attends = own is not None and type(own).attend_to is not Backbone.attend_to
        self.luong = None if attends else Attention(self.backbone.width, self.encoder.width)
        self.readout = self.readout_for(self.backbone.width)

    def begin(self, batch: Batch) -> State:
        m_BTE, _ = self.encoder(self.source_embed(batch.x), None, batch.layout)
        mask_BT = valid(batch.x_len, m_BTE, m_BTE.shape[1])
        inner = self.backbone.attend_to(m_BTE, mask_BT) if self.luong is None else None
        looked_BT = torch.zeros_like(m_BTE[:, :, 0])
        return inner, self.condition(pooled(m_BTE, batch, self.pool)), m_BTE, mask_BT, looked_BT

    def extend(self, y: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        inner, c_BD, m_BTE, mask_BT, looked_BT = state
        hidden, inner = self.backbone(self.embed(y) + c_BD[:, None], inner)
        if self.luong is not None:
            hidden, a_BST = self.luong(hidden, m_BTE, mask_BT)
            looked_BT = a_BST[:, -1]
        return self.readout(hidden), hidden, (inner, c_BD, m_BTE, mask_BT, looked_BT)

    def attention(self, state: State) -> Tensor | None:
        return None if self.luong is None else state[-1]


class Direct(AtOnce):
    """An encoder and a linear head for the whole horizon, from the summary of what it read."""

    def __init__(self, architecture: Architecture, task: Task):
        super().__init__(architecture.name, task)
        self.pool = architecture.pool
        self.source_embed = Embed(task.source, architecture.input_width)
        self.encoder = architecture.build(architecture.input_width, causal=False)
        self.readout = nn.Linear(self.encoder.width, self.horizon * task.target.outputs)

    def ahead(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        batch = Batch(x_BTD, x_BTD)
        y_BTH, _ = self.encoder(self.source_embed(x_BTD), None, batch.layout)
        summary_BH = pooled(y_BTH, batch, self.pool)
        out_BSN = self.readout(summary_BH).unflatten(-1, (self.horizon, -1))
        return out_BSN, summary_BH


WIRING: dict[Kind, Callable[[Architecture, Task], Model]] = {
    Kind.SEQ_TO_VEC: SequenceToVector,
    Kind.VEC_TO_SEQ: VectorToSequence,
    Kind.ALIGNED: Aligned,
    Kind.UNALIGNED: Unaligned,
}
