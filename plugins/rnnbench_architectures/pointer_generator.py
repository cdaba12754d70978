"""Sequence to sequence that can copy words of the source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rnnbench.contract import Architecture, Batch, Refusal, State, Task, setting
from rnnbench.nn import refuse_idle_dropout
from rnnbench.nn.models.encoder_decoder import Covering, EncoderDecoderChoices


class Copying(Covering):
    """The state is (that of the decoder, the source's tokens)."""

    def __init__(self, task: Task, plan: EncoderDecoderChoices, weight: float):
        source, target = task.source, task.target
        if not source.vocabulary or source.vocabulary != target.vocabulary:
            raise Refusal(
                f"{plan.owner} copies tokens of the source, and {task.name}'s source and target "
                "do not share a vocabulary.\n  Choose a task that does, or seq2seq."
            )
        super().__init__(task, plan, weight)
        self.generate = nn.Linear(self.encoder.width + self.top + plan.embedding, 1)

    def begin(self, batch: Batch) -> State:
        return super().begin(batch), batch.x

    def extend(self, y: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        inner, x_BT = state
        outs, hiddens = [], []
        for e_BD in self.embed(y).unbind(1):
            hidden_BH, inner = self._step(e_BD, inner._replace(step_B1=inner.step_B1 + 1))
            a_BT = inner.looked_BT
            c_BE = (a_BT[:, None] @ inner.memory_BTE)[:, 0]
            gate_B1 = torch.sigmoid(self.generate(torch.cat([c_BE, inner.cells[-1][0], e_BD], -1)))
            words_BV = self.readout(hidden_BH).softmax(-1)
            p_BV = (gate_B1 * words_BV).scatter_add(1, x_BT, (1 - gate_B1) * a_BT)
            # A word of probability 0 must have a finite logarithm, since it may be the truth.
            outs.append(p_BV.clamp(min=torch.finfo(p_BV.dtype).tiny).log())
            hiddens.append(hidden_BH)
        return torch.stack(outs, 1), torch.stack(hiddens, 1), (inner, x_BT)

    def overlap(self, state: State) -> Tensor:
        inner, _ = state
        return inner.overlap_BS

    def attention(self, state: State) -> Tensor | None:
        inner, _ = state
        return super().attention(inner)


@dataclass(frozen=True)
class PointerGenerator(Architecture):
    """Encoder and decoder that mix the words they know with a pointer to the source's.

    P(w) = p_gen P_vocab(w) + (1 - p_gen) Σ_{s: x_s = w} a_ts
    p_gen = σ(w_c c_t + w_s s_t + w_y y_{t-1} + b)

    with the attention a_t and context c_t of an additive attention that scores with the present
    state, [s_t; c_t] read out through one layer. With `coverage` its scores see the sum of
    earlier weights, and looking twice costs `coverage_weight` times Σ_s min(a_ts, coverage_ts).
    Source and target must share a vocabulary; no word is outside it, where it is of subwords.

    Source: See, Liu & Manning (2017), arXiv:1704.04368, eqs. 1-3 and 8-13.
    """

    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 6}

    hidden: int = setting(256, "units of a layer", unit="units", low=1, search=(32, 512, "log"))
    cell: str = setting("lstm", "cell, by the name of its architecture", plugin="architectures")
    coverage: bool = setting(False, "scores see the sum of earlier weights")
    coverage_weight: float = setting(0.0, "of the penalty for looking twice", low=0.0)
    layers: int = setting(1, "layers of encoder and decoder each", low=1, search=(1, 3))
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.95, search=(0.0, 0.6))
    embedding: int | None = setting(None, "width of the embeddings; null: as hidden", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle_dropout(self.name, self.layers, self.dropout)
        if self.coverage_weight and not self.coverage:
            raise Refusal(
                f"{self.name}: coverage_weight = {self.coverage_weight} weighs what only coverage "
                "counts.\n  Set architecture.coverage=true, or drop it."
            )

    def model(self, task: Task) -> nn.Module:
        plan = EncoderDecoderChoices(
            owner=self.name,
            cell=self.cell,
            hidden=self.hidden,
            layers=self.layers,
            dropout=self.dropout,
            embedding=self.input_width,
            both=True,
            reverse=False,
            start="projected",
            every=False,
            attention="concat",
            feeding=False,
            coverage=self.coverage,
        )
        return Copying(task, plan, self.coverage_weight)
