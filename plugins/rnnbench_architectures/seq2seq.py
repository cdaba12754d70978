"""Encoder and decoder, with attention between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import nn

from rnnbench.contract import Architecture, Refusal, Task, setting
from rnnbench.nn import refuse_idle_dropout
from rnnbench.nn.models.encoder_decoder import Covering, EncoderDecoderChoices


@dataclass(frozen=True)
class Seq2Seq(Architecture):
    """Sequence to sequence by an encoder and a decoder of any cell, with or without attention.

    none      s_t = f(s_{t-1}, y_{t-1}),  s_0 from the encoder's last step (Sutskever et al. 2014);
              with context=every the encoder's last output joins each input (Cho et al. 2014)
    additive  e_ts = vᵀ tanh(W s_{t-1} + U m_s),  a_t = softmax(e_t),  c_t = Σ_s a_ts m_s,
              s_t = f(s_{t-1}, [y_{t-1}; c_t]),  maxout readout of [s_t; c_t; y_{t-1}]
              (Bahdanau et al. 2015)
    dot       e_ts = h_tᵀ m_s                 |
    general   e_ts = h_tᵀ W m_s               |  h_t = f(h_{t-1}, [y_{t-1}; h̃_{t-1}]),
    concat    e_ts = vᵀ tanh(W [h_t; m_s])    |  h̃_t = tanh(W_c [c_t; h_t]) is read out
    local     general within a window around  |  (Luong et al. 2015)
              a predicted position            |

    Feeding h̃_{t-1} into the next step is Luong's input feeding; without it a training batch needs
    no loop in Python. Coverage adds w_c Σ_{t' < t} a_t's to the sum inside tanh, and
    `coverage_weight` times the overlap Σ_s min(a_ts, coverage_ts) to what is minimised (See et
    al. 2017). The defaults are RNNsearch: additive, over an encoder of both directions.

    Source: Cho et al. (2014), arXiv:1406.1078; Sutskever, Vinyals & Le (2014), arXiv:1409.3215;
    Bahdanau, Cho & Bengio (2015), arXiv:1409.0473, section 3 and appendix A; Luong, Pham & Manning
    (2015), arXiv:1508.04025, eqs. 5-10; See, Liu & Manning (2017), arXiv:1704.04368, eqs. 10-13.
    """

    name: ClassVar[str] = "seq2seq"
    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 6}

    hidden: int = setting(256, "units of a layer", unit="units", low=1, search=(32, 512, "log"))
    cell: str = setting("gru", "cell, by the name of its architecture", plugin="architectures")
    attention: Literal["none", "additive", "dot", "general", "concat", "local"] = setting(
        "additive", "how source positions are scored"
    )
    encoder: Literal["forward", "both"] = setting("both", "directions in which it reads")
    reverse_source: bool = setting(False, "the encoder reads the source last step first")
    start: Literal["state", "projected"] | None = setting(
        None, "decoder's first state: encoder's last, or a map of it; null: state if it can be"
    )
    context: Literal["once", "every"] = setting(
        "once", "every: the encoder's last output joins each decoder input"
    )
    input_feeding: bool | None = setting(
        None, "h̃ joins the next input; null: where attention is Luong's"
    )
    coverage: bool = setting(False, "scores see the sum of earlier weights (additive, concat)")
    coverage_weight: float = setting(0.0, "of the penalty for looking twice", low=0.0)
    window: int | None = setting(
        None, "reach of local attention to either side; null: 10", unit="steps", low=1
    )
    layers: int = setting(1, "layers of encoder and decoder each", low=1, search=(1, 3))
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.95, search=(0.0, 0.6))
    embedding: int | None = setting(None, "width of the embeddings; null: as hidden", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle_dropout(self.name, self.layers, self.dropout)
        luong = self.attention in ("dot", "general", "concat", "local")
        idle = {
            "reverse_source=true with encoder=both": self.reverse_source and self.encoder == "both",
            "input_feeding=true": bool(self.input_feeding) and not luong,
            "window": self.window is not None and self.attention != "local",
            "coverage=true": self.coverage and self.attention not in ("additive", "concat"),
            "coverage_weight without coverage=true": bool(self.coverage_weight)
            and not self.coverage,
        }
        for what, wrong in idle.items():
            if wrong:
                raise Refusal(
                    f"{self.name}: {what} would change nothing with attention={self.attention}.\n"
                    "  Drop it, or see: rnnbench describe seq2seq"
                )
        if self.attention == "dot" and self.encoder == "both":
            raise Refusal(
                f"{self.name}: attention=dot needs a memory as wide as the decoder, and an encoder "
                "of both directions is twice as wide.\n"
                "  Set architecture.encoder=forward, or architecture.attention=general."
            )
        if self.start == "state" and self.encoder == "both":
            raise Refusal(
                f"{self.name}: start=state needs an encoder of the decoder's own shape.\n"
                "  Set architecture.encoder=forward, or architecture.start=projected."
            )

    def model(self, task: Task) -> nn.Module:
        luong = self.attention in ("dot", "general", "concat", "local")
        plan = EncoderDecoderChoices(
            owner=self.name,
            cell=self.cell,
            hidden=self.hidden,
            layers=self.layers,
            dropout=self.dropout,
            embedding=self.input_width,
            both=self.encoder == "both",
            reverse=self.reverse_source,
            start=self.start or ("projected" if self.encoder == "both" else "state"),
            every=self.context == "every",
            attention=self.attention,
            feeding=luong if self.input_feeding is None else self.input_feeding,
            coverage=self.coverage,
            window=self.window or 10,
        )
        return Covering(task, plan, self.coverage_weight)
