"""Choosing an output step by step: greedy, sampled, and by beam, on one stepping interface."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from rnnbench.contract import Batch, Port, Refusal, State
from rnnbench.errors import SpecError


class Steps(Protocol):
    """A model that can be decoded: it reads its own output step by step. See `nn.Decoder`."""

    target: Port

    def begin(self, batch: Batch) -> State: ...

    def first(self, batch: Batch) -> Tensor: ...

    def extend(self, y: Tensor, state: State) -> tuple[Tensor, Tensor, State]: ...

    def attention(self, state: State) -> Tensor | None: ...


@dataclass(frozen=True)
class Decoding:
    """A way to choose the next output.

    Attributes:
        method: "greedy" takes the most probable; "sample" draws; "beam" keeps the best `beam`
            prefixes.
        temperature: logits are divided by it before a draw; below 1 is more cautious.
        top_k: a draw is among so many of the most probable; None for all.
        top_p: a draw is among the fewest that hold this much probability together (nucleus).
        beam: prefixes kept.
        length_penalty: α; finished prefixes Y are compared by log p(Y) / ((5 + |Y|) / 6)^α.

    Source: top-k: Fan et al. (2018), arXiv:1805.04833, section 5.1; nucleus: Holtzman et al.
    (2020), arXiv:1904.09751, eqs. 2-3; length penalty: Wu et al. (2016), arXiv:1609.08144, eq. 14
    (without its coverage term).

    Raises:
        SpecError: a value is out of range, or acts on another method.
    """

    method: Literal["greedy", "sample", "beam"] = "greedy"
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    beam: int = 5
    length_penalty: float = 0.0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise SpecError(
                f"temperature = {self.temperature}: it must be above 0; towards 0 it is greedy"
            )
        if not 0 < self.top_p <= 1:
            raise SpecError(f"top_p = {self.top_p} is outside (0, 1]")
        if self.top_k is not None and self.top_k < 1:
            raise SpecError(f"top_k = {self.top_k}: at least one class must be left to draw from")
        if self.beam < 1:
            raise SpecError(f"beam = {self.beam}: at least one prefix must be kept")
        for name in ("temperature", "top_k", "top_p"):
            self._refuse_unused("sample", name)
        for name in ("beam", "length_penalty"):
            self._refuse_unused("beam", name)

    def _refuse_unused(self, method: str, name: str) -> None:
        """Refuse a setting that acts on another method than the chosen one."""
        default = type(self).__dataclass_fields__[name].default
        if self.method != method and getattr(self, name) != default:
            raise SpecError(
                f"{name} = {getattr(self, name)} acts on method {method!r}, not {self.method!r}"
            )


GREEDY = Decoding()


class Decoded(NamedTuple):
    """The output that was produced without seeing y."""

    y: Tensor  # (B, S') tokens or (B, S, V) values
    attention: Tensor | None = None  # (B, S', T): what each step looked at, where it looks
    score: Tensor | None = None  # (B,): log-probability of the tokens in nats, the stop's included
    out: Tensor | None = None  # (B, S', P * V): what y stands for, where it has a distribution


@torch.no_grad()
def decode(
    model: Steps,
    batch: Batch,
    how: Decoding = GREEDY,
    *,
    steps: int | None = None,
    rng: torch.Generator | None = None,
) -> Decoded:
    """Produce y without seeing it.

    Where the target's positions are distinct, those that were named and an early end are not
    offered. Ends where every row has produced the target's stop token, and after `steps`, by
    default `target.longest`, or as many as `batch.y` has. A row's tokens after its stop mean
    nothing.

    Args:
        rng: of the draws, on the batch's device; by default torch's.
    Raises:
        Refusal: values are to be sampled or beam-searched; the model says their mean only.
    """
    steps = steps or model.target.longest or batch.y.shape[1]
    if model.target.distinct:
        model = EachPositionOnce(model)
    if how.method != "greedy" and not model.target.classes:
        raise Refusal(f"method {how.method!r} chooses among tokens; this model puts out values")
    if how.method == "beam":
        return _beam(model, batch, how, steps)
    target = model.target
    choose: Callable[[Tensor], Tensor] = (
        target.choose if how.method == "greedy" else _Draw(how, rng)
    )
    y, state = model.first(batch), model.begin(batch)
    outputs, outs, looks, score = [], [], [], None
    done = torch.zeros(len(y), dtype=torch.bool, device=y.device)
    if model.target.classes:
        score = torch.zeros(len(y), device=y.device)
    for _ in range(steps):
        out, _, state = model.extend(y, state)
        y = choose(out)
        outputs.append(y)
        if target.distribution is not None:
            outs.append(out)
        looks.append(model.attention(state))
        if score is not None:
            gain = out[:, 0].log_softmax(-1).gather(1, y)[:, 0].to(score.dtype)
            score = torch.where(done, score, score + gain)
        if model.target.stop is not None:
            done |= y[:, 0] == model.target.stop
            if done.all():
                break
    said = torch.cat(outs, 1) if outs else None
    return Decoded(torch.cat(outputs, 1), _stack_looks(looks), score, said)


class EachPositionOnce:
    """A model that names positions, none of them twice, and the end after the last.

    Its state is the model's, and (B, V) the positions that are left, the end among them once the
    others are gone.
    """

    def __init__(self, model: Steps):
        self.model, self.target = model, model.target

    def begin(self, batch: Batch) -> State:
        place_V = torch.arange(self.target.classes, device=batch.x.device)
        rows, longest = batch.x.shape[:2]
        len_B = place_V.new_full((rows,), longest) if batch.x_len is None else batch.x_len
        left_BV = (place_V > 0) & (place_V <= len_B[:, None])
        return self.model.begin(batch), left_BV

    def first(self, batch: Batch) -> Tensor:
        return self.model.first(batch)

    def extend(self, y: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        inner, left_BV = state
        out, features, inner = self.model.extend(y, inner)
        left_BV = left_BV.scatter(1, y, False)
        left_BV = torch.cat([~left_BV[:, 1:].any(1, keepdim=True), left_BV[:, 1:]], 1)
        return out.masked_fill(~left_BV[:, None], -torch.inf), features, (inner, left_BV)

    def attention(self, state: State) -> Tensor | None:
        inner, _ = state
        return self.model.attention(inner)


class _Draw:
    """A draw of a class from what top-k and the nucleus leave."""

    def __init__(self, how: Decoding, rng: torch.Generator | None):
        self.how, self.rng = how, rng

    def __call__(self, out_B1V: Tensor) -> Tensor:
        p_BV = narrowed(out_B1V[:, 0] / self.how.temperature, self.how.top_k, self.how.top_p)
        return torch.multinomial(p_BV, 1, generator=self.rng)


def narrowed(logits_BV: Tensor, top_k: int | None, top_p: float) -> Tensor:
    """Return probabilities (B, V) after top-k, then nucleus; the most probable class stays."""
    order_BV = logits_BV.argsort(dim=-1, descending=True, stable=True)
    p_BV = logits_BV.gather(1, order_BV).softmax(-1)
    if top_k is not None:
        p_BV = p_BV.clone()
        p_BV[:, top_k:] = 0
        p_BV = p_BV / p_BV.sum(-1, keepdim=True)
    if top_p < 1:
        before_BV = p_BV.cumsum(-1) - p_BV  # held by classes that are more probable
        p_BV = p_BV.masked_fill(before_BV >= top_p, 0.0)
        p_BV = p_BV / p_BV.sum(-1, keepdim=True)
    return torch.zeros_like(p_BV).scatter(1, order_BV, p_BV)


def _beam(model: Steps, batch: Batch, how: Decoding, steps: int) -> Decoded:
    """Return the best of what `how.beam` prefixes a row lead to.

    A prefix that produces the stop token leaves the beam for the row's finished list, which keeps
    one; a row is done when none of its prefixes can still be better than that one.
    """
    first, state = model.first(batch), model.begin(batch)
    rows, stop = len(first), model.target.stop
    device, wide = first.device, min(how.beam, model.target.classes)
    row_BK = torch.arange(rows, device=device)[:, None]
    score_BK = torch.zeros(rows, 1, device=device)
    tokens_BKS = torch.zeros(rows, 1, 0, dtype=torch.long, device=device)
    looks_BKST: Tensor | None = None
    best: list[tuple[float, Tensor, Tensor | None, float]] = [
        (-math.inf, tokens_BKS[0, 0], None, -math.inf) for _ in range(rows)
    ]
    y, width = first, 1
    for s in range(1, steps + 1):
        out, _, state = model.extend(y, state)
        log_BKV = out[:, 0].log_softmax(-1).view(rows, width, -1)
        look = model.attention(state)
        total_BKV = score_BK[..., None] + log_BKV.to(score_BK.dtype)
        # Twice as many as are kept, since at most half of them can be stops.
        take = min(2 * wide, total_BKV[0].numel())
        top_BN, at_BN = total_BKV.flatten(1).topk(take)
        classes = log_BKV.shape[-1]
        from_BN, token_BN = at_BN // classes, at_BN % classes
        grown_BNS = torch.cat([tokens_BKS[row_BK, from_BN], token_BN[..., None]], -1)
        looks_BNST: Tensor | None = None
        if look is not None:
            now_BN1T = look.view(rows, width, -1)[row_BK, from_BN][:, :, None]
            looked = None if looks_BKST is None else looks_BKST[row_BK, from_BN]
            looks_BNST = now_BN1T if looked is None else torch.cat([looked, now_BN1T], 2)
        ended_BN = token_BN == stop if stop is not None else torch.zeros_like(token_BN).bool()
        # A stop counts where it is among the best `wide`, so that a beam of one is greedy.
        final_BN = torch.ones_like(ended_BN) if s == steps else ended_BN
        for b, n in final_BN[:, :wide].nonzero().tolist():
            raw = float(top_BN[b, n])
            value = raw / penalty(s, how.length_penalty)
            if value > best[b][0]:
                kept = None if looks_BNST is None else looks_BNST[b, n]
                best[b] = (value, grown_BNS[b, n], kept, raw)
        alive_BN = top_BN.masked_fill(ended_BN, -math.inf)
        score_BK, pick_BK = alive_BN.topk(min(wide, take))
        bound = max(penalty(s + 1, how.length_penalty), penalty(steps, how.length_penalty))
        if s == steps or all(float(score_BK[b, 0]) / bound <= best[b][0] for b in range(rows)):
            break
        source_BK = from_BN.gather(1, pick_BK)
        tokens_BKS = grown_BNS[row_BK, pick_BK]
        looks_BKST = None if looks_BNST is None else looks_BNST[row_BK, pick_BK]
        state = select_rows(state, (row_BK * width + source_BK).flatten())
        width = score_BK.shape[1]
        y = tokens_BKS[:, :, -1].reshape(-1, 1)
    fill = stop if stop is not None else 0
    tokens = [b[1] for b in best]
    y = torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True, padding_value=fill)
    shown = [b[2] for b in best if b[2] is not None]
    attention = torch.nn.utils.rnn.pad_sequence(shown, batch_first=True) if shown else None
    return Decoded(y, attention, torch.tensor([b[3] for b in best], device=device))


def penalty(length: int, alpha: float) -> float:
    """Return ((5 + length) / 6)^α."""
    return ((5 + length) / 6) ** alpha


def select_rows(state: State, rows: Tensor) -> Any:
    """Return the nested state of some rows, in the order given; a row may occur twice."""
    if isinstance(state, Tensor):
        return state.index_select(0, rows)
    if isinstance(state, (tuple, list)):
        parts = (select_rows(s, rows) for s in state)
        return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)
    return state


def _stack_looks(looks: list[Tensor | None]) -> Tensor | None:
    present = [look for look in looks if look is not None]
    return torch.stack(present, 1) if present else None
