"""Encoder and decoder with every attention between them, for architectures that wire so.

Suffixes besides the contract's: E memory width, C width of the context that a step reads.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Backbone, Batch, Cell, Kind, Refusal, Result, State, Task
from rnnbench.nn.attention import Additive, Dot, General, Positional, Window, valid, weights
from rnnbench.nn.cells.by_name import named_backbone, named_cell
from rnnbench.nn.layouts.ragged import reversed_rows, run_rows
from rnnbench.nn.models.base import Decoder, Embed, Feed

AttentionKind = Literal["none", "additive", "position", "dot", "general", "concat", "local"]


@dataclass(frozen=True)
class EncoderDecoderChoices:
    """The choices of an architecture with this wiring.

    Attributes:
        owner: the architecture, for messages.
        both: the encoder reads in both directions.
        reverse: the encoder reads the source last step first.
        start: the decoder starts from the encoder's final "state", or from tanh of a linear map
            of its last output ("projected").
        every: the encoder's last output joins the decoder's input at every step.
        feeding: the attentional output of a step joins the next step's input.
        window: D of local attention.
        reach: greatest distance that has a vector of its own in "position".
        changes: the encoder reads x_t - x_{t-1} beside x_t.
    """

    owner: str
    cell: str
    hidden: int
    layers: int
    dropout: float
    embedding: int
    both: bool
    reverse: bool
    start: Literal["state", "projected"]
    every: bool
    attention: AttentionKind
    feeding: bool
    coverage: bool
    window: int = 0
    reach: int = 0
    changes: bool = False


class Encoder(nn.Module):
    """An encoder of layers of one cell, in one direction or both."""

    def __init__(self, plan: EncoderDecoderChoices, d_in: int):
        super().__init__()
        self.dropout = plan.dropout
        self.forwards, self.backwards = nn.ModuleList(), nn.ModuleList()
        for _ in range(plan.layers):
            sides = (self.forwards, self.backwards) if plan.both else (self.forwards,)
            built = [named_backbone(plan.cell, d_in, plan.hidden, plan.owner) for _ in sides]
            for side, layer in zip(sides, built, strict=True):
                side.append(layer)
            d_in = sum(layer.width for layer in built)
        self.width = d_in

    def forward(self, x: Tensor, len_B: Tensor | None) -> tuple[Tensor, Tensor, list[State]]:
        """Return memory (B, T, E), last outputs (B, E), and the forward layers' final states."""
        finals: list[State] = []
        for i, ahead in enumerate(self.forwards):
            if i and self.dropout:
                x = F.dropout(x, self.dropout, self.training)
            assert isinstance(ahead, Backbone)
            y, final = run_rows(ahead, x, len_B)
            last = [_last(y, len_B)]
            finals.append(final)
            if self.backwards:
                back, _ = run_rows(self.backwards[i], reversed_rows(x, len_B), len_B)  # type: ignore[arg-type]
                last.append(_last(back, len_B))
                y = torch.cat([y, reversed_rows(back, len_B)], -1)
            x = y
        return x, torch.cat(last, -1), finals


class Seen(NamedTuple):
    """The decoder's state: what it remembers, what it may look at, what it looked at."""

    cells: tuple[State, ...]
    memory_BTE: Tensor
    keys_BTK: Tensor
    mask_BT: Tensor
    context_BE: Tensor  # the encoder's last output
    fed_BH: Tensor  # the attentional output of the last step
    covered_BT: Tensor  # the sum of all earlier weights
    looked_BT: Tensor  # the last step's weights
    overlap_BS: Tensor  # Σ_s min(a_s, covered_s) of each step, where coverage is wanted
    step_B1: Tensor  # outputs so far


class EncoderDecoder(Decoder):
    """A model p(y | x) of an encoder and a decoder of one cell, with a choice of attention.

    "additive" looks with the previous state before it steps, so that what is seen joins the
    input, and reads out through a maxout layer (Bahdanau et al. 2015, appendix A.2.2, with s_t in
    its readout, as that paper's eq. 4 has it). The others step first, look with the new state,
    and read out h̃_t = tanh(W_c [c_t; h_t]) (Luong et al. 2015, eq. 5). With "none" nothing is
    looked at (Cho et al. 2014; Sutskever et al. 2014).

    Raises:
        Refusal: the task asks for no decoder that reads a sequence.
    """

    def __init__(self, task: Task, plan: EncoderDecoderChoices):
        super().__init__(task.target)
        if task.kind is not Kind.UNALIGNED:
            raise Refusal(
                f"{plan.owner} turns one sequence into another; {task.name} is {task.kind.value}."
                "\n  Choose an unaligned task: rnnbench list tasks"
            )
        self.plan, width = plan, plan.embedding
        read = dataclasses.replace(task.source, width=2 * task.source.width)
        self.source_embed = Embed(read if plan.changes else task.source, width)
        self.embed = Embed(task.target, width)
        self.encoder = Encoder(plan, width)
        memory, hidden = self.encoder.width, plan.hidden
        self.looks_first = plan.attention in ("additive", "position")
        joins = memory * plan.every + memory * self.looks_first + hidden * plan.feeding
        cells: list[Cell] = []
        self.widths = [width + joins]  # D of each of the decoder's layers
        for _ in range(plan.layers):
            cells.append(named_cell(plan.cell, self.widths[-1], hidden, plan.owner))
            self.widths.append(cells[-1].width)
        top = self.widths.pop()
        self.cells = nn.ModuleList(cells)
        self.starts = nn.ModuleList(
            nn.Linear(memory, cell.width) for cell in cells if plan.start == "projected"
        )
        self.score, self.window = _scores(plan, top, memory)
        self.mix: nn.Linear | None = None
        if self.looks_first:
            self.mix = nn.Linear(top + memory + width, 2 * hidden)
        elif plan.attention != "none":
            self.mix = nn.Linear(top + memory, hidden, bias=False)
        self.top = top
        self.readout = self.readout_for(top if self.mix is None else hidden)
        self.at_once = not (self.looks_first or plan.feeding or plan.coverage)

    def begin(self, batch: Batch) -> State:
        x, len_B = batch.x, batch.x_len
        if self.plan.changes:
            x = torch.cat([x, torch.diff(x, dim=1, prepend=x[:, :1])], -1)
        x_BTD = self.source_embed(reversed_rows(x, len_B) if self.plan.reverse else x)
        m_BTE, context_BE, finals = self.encoder(x_BTD, len_B)
        if self.plan.reverse:  # the memory stands in the source's order, whatever was read first
            m_BTE = reversed_rows(m_BTE, len_B)
        mask_BT = valid(len_B, m_BTE, m_BTE.shape[1])
        cells = tuple(self.begin_cell(i, context_BE, finals[i]) for i in range(len(self.cells)))
        zero_BT = torch.zeros_like(m_BTE[:, :, 0])
        keys_BTK = m_BTE if self.score is None else self.score.keys(m_BTE)
        fed_BH = m_BTE.new_zeros(len(x), self.plan.hidden)
        step_B1 = torch.zeros(len(x), 1, dtype=torch.long, device=x.device)
        return Seen(cells, m_BTE, keys_BTK, mask_BT, context_BE, fed_BH, zero_BT, zero_BT,
                    zero_BT[:, :0], step_B1)  # fmt: skip

    def begin_cell(self, i: int, context_BE: Tensor, final: State) -> State:
        """Return a layer's state before its first step.

        Only the cell's own state comes from the encoder: what a trick keeps beside it, such as
        dropout masks, is begun afresh.
        """
        cell, inner = self.cells[i], self.cells[i]
        assert isinstance(cell, Cell)
        x_BD = context_BE.new_zeros(len(context_BE), self.widths[i])
        fresh = cell.initial(x_BD)
        if self.plan.start == "projected":
            return (torch.tanh(self.starts[i](context_BE)), *fresh[1:])
        while hasattr(inner, "inner"):
            inner = inner.inner  # type: ignore[assignment]
        own = len(inner.initial(x_BD))  # type: ignore[operator]
        return (*final[:own], *fresh[own:])

    def extend(self, y: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        e_BSD = self.embed(y)
        if self.at_once:
            hidden_BSH, state = self._run(e_BSD, state)
        else:
            steps = []
            for e_BD in e_BSD.unbind(1):
                hidden_BH, state = self._step(e_BD, state._replace(step_B1=state.step_B1 + 1))
                steps.append(hidden_BH)
            hidden_BSH = torch.stack(steps, 1)
        return self.readout(hidden_BSH), hidden_BSH, state

    def _run(self, e_BSD: Tensor, state: Seen) -> tuple[Tensor, Seen]:
        """Run all steps at once, where no step reads what an earlier one looked at."""
        x = e_BSD
        if self.plan.every:
            x = torch.cat([x, state.context_BE[:, None].expand(-1, x.shape[1], -1)], -1)
        states = []
        for i, cell in enumerate(self.cells):
            if i and self.plan.dropout:
                x = F.dropout(x, self.plan.dropout, self.training)
            x, s = cell(x, state.cells[i])
            states.append(s)
        state = state._replace(cells=tuple(states))
        if self.mix is None:
            return x, state
        a_BST = self.look(x, state)
        context_and_output = torch.cat([a_BST @ state.memory_BTE, x], -1)
        return torch.tanh(self.mix(context_and_output)), state._replace(looked_BT=a_BST[:, -1])

    def _step(self, e_BD: Tensor, state: Seen) -> tuple[Tensor, Seen]:
        """Take one step, which reads what the last one left."""
        parts = [e_BD]
        if self.plan.every:
            parts.append(state.context_BE)
        if self.plan.feeding:
            parts.append(state.fed_BH)
        if self.looks_first:
            c_BE, state = self._attend(state.cells[-1][0], state)
            parts.append(c_BE)
        x, states = torch.cat(parts, -1), []
        for i, cell in enumerate(self.cells):
            if i and self.plan.dropout:
                x = F.dropout(x, self.plan.dropout, self.training)
            assert isinstance(cell, Cell)
            x, s = cell.step(x, state.cells[i])
            states.append(s)
        state = state._replace(cells=tuple(states))
        assert self.mix is not None
        if self.looks_first:
            deep = self.mix(torch.cat([x, c_BE, e_BD], -1))
            return deep.unflatten(-1, (-1, 2)).amax(-1), state
        c_BE, state = self._attend(x, state)
        hidden = torch.tanh(self.mix(torch.cat([c_BE, x], -1)))
        return hidden, state._replace(fed_BH=hidden)

    def look(self, h_BSH: Tensor, state: Seen) -> Tensor:
        """Return weights (B, S, T) over the memory."""
        assert self.score is not None
        covered = state.covered_BT if self.plan.coverage else None
        keys_BTK = state.keys_BTK
        if isinstance(self.score, Positional):
            length_B1 = state.mask_BT.sum(1, keepdim=True)
            j_T = torch.arange(1, keys_BTK.shape[1] + 1, device=keys_BTK.device)
            # Padding has no distance; it is masked below.
            keys_BTK = self.score.at_lags(keys_BTK, (state.step_B1 + length_B1 - j_T).clamp(min=1))
        scores_BST = self.score(h_BSH, keys_BTK, covered)
        if self.window is not None:
            return self.window(h_BSH, scores_BST, state.mask_BT)
        return weights(scores_BST, state.mask_BT[:, None])

    def _attend(self, h_BH: Tensor, state: Seen) -> tuple[Tensor, Seen]:
        """Return what one step sees, and the state that remembers where it looked."""
        a_BT = self.look(h_BH[:, None], state)[:, 0]
        c_BE = (a_BT[:, None] @ state.memory_BTE)[:, 0]
        if self.plan.coverage:
            overlap_B1 = torch.minimum(a_BT, state.covered_BT).sum(1, keepdim=True)
            state = state._replace(
                covered_BT=state.covered_BT + a_BT,
                overlap_BS=torch.cat([state.overlap_BS, overlap_B1], 1),
            )
        return c_BE, state._replace(looked_BT=a_BT)

    def attention(self, state: State) -> Tensor | None:
        return None if self.score is None else state.looked_BT


class Covering(EncoderDecoder):
    """An encoder and decoder with a cost of looking twice: weight * mean_t Σ_s min(a_ts, c_ts).

    Source: See, Liu & Manning (2017), arXiv:1704.04368, eqs. 12-13.
    """

    def __init__(self, task: Task, plan: EncoderDecoderChoices, weight: float):
        super().__init__(task, plan)
        self.weight = weight

    def forward(self, batch: Batch, state: State = None, feed: Feed | None = None) -> Result:
        result = super().forward(batch, state, feed)
        if not (self.plan.coverage and self.weight):
            return result
        overlap_BS = self.overlap(result.state)
        mask_BS = valid(batch.y_len, overlap_BS, overlap_BS.shape[1])
        mean = (overlap_BS * mask_BS).sum() / mask_BS.sum()
        return result._replace(penalty=self.weight * mean)

    def overlap(self, state: State) -> Tensor:
        """Return how much of what each step saw was seen before: (B, S)."""
        return state.overlap_BS


def _last(y_BTH: Tensor, len_B: Tensor | None) -> Tensor:
    """Return the output at each row's last step: (B, H)."""
    if len_B is None:
        return y_BTH[:, -1]
    at_B1H = (len_B - 1)[:, None, None].expand(-1, 1, y_BTH.shape[-1])
    return y_BTH.gather(1, at_B1H)[:, 0]


def _scores(
    plan: EncoderDecoderChoices, query: int, memory: int
) -> tuple[Dot | None, Window | None]:
    """Return how the memory is scored, and the window over it."""
    if plan.attention == "none":
        return None, None
    if plan.attention == "position":
        return Positional(query, memory, plan.hidden, plan.reach), None
    if plan.attention in ("additive", "concat"):
        return Additive(query, memory, plan.hidden, plan.coverage), None
    if plan.attention == "dot":
        if query != memory:
            raise Refusal(
                f"{plan.owner}: attention=dot compares a query of {query} with a memory of "
                f"{memory}.\n  Choose architecture.attention=general, or an encoder that reads "
                "one direction."
            )
        return Dot(), None
    return General(query, memory), Window(query, plan.window) if plan.attention == "local" else None
