"""Attention for forecasting: by content, and by distance in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import nn

from rnnbench.contract import Architecture, Refusal, Task, setting
from rnnbench.nn import refuse_idle_dropout
from rnnbench.nn.models.encoder_decoder import EncoderDecoder, EncoderDecoderChoices


@dataclass(frozen=True)
class TemporalAttention(Architecture):
    """Forecasting by an encoder and a decoder whose attention knows how long ago something was.

    content    e_ij = vᵀ tanh(W s_{i-1} + U h_j)
    position   e_ij = vᵀ tanh(W s_{i-1} + U (π_{i + T - j} ⊙ h_j))

    a_i = softmax(e_i),  c_i = Σ_j a_ij h_j,  s_i = f(s_{i-1}, [y_{i-1}; c_i])

    for output i = 1, 2, … and input j = 1 … T. π holds a learnt vector for each distance, so that
    what lies a (pseudo-)period back can be found whatever it looks like. It begins as all ones,
    where both kinds are one. With `changes` the encoder reads x_t - x_{t-1} beside x_t, which is
    what a content score needs to see a trend bend or break.

    The decoder reads its own last output; π needs to know the greatest distance, the context and
    the horizon together.

    Source: Cinar et al. (2017), arXiv:1703.10089, sections 3 and 4; content: Bahdanau, Cho &
    Bengio (2015), arXiv:1409.0473. Reading differences is this plugin's own.
    """

    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 6}

    hidden: int = setting(64, "units of a layer", unit="units", low=1, search=(16, 256, "log"))
    cell: str = setting("lstm", "cell, by the name of its architecture", plugin="architectures")
    attention: Literal["content", "position"] = setting("position", "what the scores see")
    changes: bool = setting(False, "the encoder reads differences as well")
    encoder: Literal["forward", "both"] = setting("both", "directions in which it reads")
    layers: int = setting(1, "layers of encoder and decoder each", low=1, search=(1, 3))
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.95, search=(0.0, 0.6))
    embedding: int | None = setting(None, "width of a mapped input; null: as hidden", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle_dropout(self.name, self.layers, self.dropout)

    def model(self, task: Task) -> nn.Module:
        if task.source.classes or task.target.classes:
            raise Refusal(
                f"{self.name} forecasts values; {task.name} has tokens.\n"
                "  Choose a forecasting task, or seq2seq."
            )
        reach = (task.source.longest or 0) + (task.target.longest or 0)
        if self.attention == "position" and not (task.source.longest and task.target.longest):
            raise Refusal(
                f"{self.name}: attention=position has a vector for each distance, and {task.name} "
                "does not say how long its source and its target are.\n"
                "  Set architecture.attention=content, or state `longest` in the task's ports."
            )
        plan = EncoderDecoderChoices(
            owner=self.name,
            cell=self.cell,
            hidden=self.hidden,
            layers=self.layers,
            dropout=self.dropout,
            embedding=self.input_width,
            both=self.encoder == "both",
            reverse=False,
            start="projected",
            every=False,
            attention="additive" if self.attention == "content" else "position",
            feeding=False,
            coverage=False,
            reach=reach,
            changes=self.changes,
        )
        return EncoderDecoder(task, plan)
