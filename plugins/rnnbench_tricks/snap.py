"""Sparse n-step approximation of real-time recurrent learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from rnnbench.contract import setting
from rnnbench.nn.estimators.forward_mode import (
    DifferentiableStep,
    Gradients,
    Online,
    add,
    refuse_large,
)


@dataclass(frozen=True)
class SnAp(Online):
    """Real-time recurrent learning that forgets influences which take more than n steps to arise.

    J_t = M_n ⊙ (F_s J_{t-1} + F_θ),   M_1 = [F_θ ≠ 0],   M_n = M_{n-1} ∨ [F_s ≠ 0] M_{n-1}

    M_n keeps a pair of a state's number and a parameter where the one can feel a change of the
    other within n steps. n = 1 keeps what a parameter does to the units that it feeds, which then
    pass it on to themselves only; an n of the stream's length is real-time recurrent learning.
    Without sparse weights n = 2 already keeps nearly all.

    The patterns [≠ 0] are those of all rows and steps of the stream so far, since a unit that is
    off has derivatives of 0. J is held dense, so that n saves neither time nor memory here: what
    can be judged is the gradient.

    Null value: none.

    Source: Menick, Elsen, Evci, Osindero, Simonyan & Graves (2021), arXiv:2006.07232, section 3.
    """

    name: ClassVar[str] = "snap"

    n: int = setting(1, "steps within which an influence is kept", unit="steps", low=1,
                     search=(1, 3))  # fmt: skip
    largest: int = setting(
        20_000_000, "numbers of J for one row, S·P, above which it is refused", low=1
    )

    def follow(self, step: DifferentiableStep, memory: dict[str, Any]) -> Gradients:
        # Rows R: the state's numbers, then what the readout reads, whose influence is cut alike.
        size, hidden = step.new_BS.shape[1], step.result.hidden
        both = step._replace(new_BS=torch.cat([step.new_BS, hidden[:, 0]], 1))
        gradients, ds_BS = step.direct()
        influence: dict[int, Tensor] = memory.get("influence", {})
        if not influence:
            refuse_large(self.name, both, self.largest)
        fresh, f_BRS = both.influence(), both.transition()
        mask = self.masks(fresh, f_BRS, memory)
        if f_BRS is not None and ds_BS is not None:
            (gradient,) = torch.autograd.grad(
                step.loss, hidden, retain_graph=True, allow_unused=True
            )
            dy_BH = torch.zeros_like(hidden[:, 0]) if gradient is None else gradient[:, 0]
            past_BS = ds_BS - torch.einsum("bh,bhs->bs", dy_BH, f_BRS[:, size:])
            for k, j_BSN in influence.items():
                moved = torch.where(mask[k], f_BRS @ j_BSN, 0.0)
                g_N = torch.einsum("bh,bhn->n", dy_BH, moved[:, size:])
                # A loss that reads the old state past `hidden`, such as a pointer's.
                g_N = g_N + torch.einsum("bs,bsn->n", past_BS, j_BSN)
                add(gradients, k, step.parameters[k], g_N)
                fresh[k] = moved + fresh[k] if k in fresh else moved
        memory["influence"] = {k: j_BRN[:, :size] for k, j_BRN in fresh.items()}
        return gradients

    def masks(
        self, fresh: dict[int, Tensor], f_BRS: Tensor | None, memory: dict[str, Any]
    ) -> dict[int, Tensor]:
        """Return M_n (R, N) of each parameter; worked out anew where a pattern has grown."""
        felt: dict[int, Tensor] = dict(memory.get("felt", {}))
        moves_RS: Tensor | None = memory.get("moves")
        grown = False
        for k, j_BRN in fresh.items():
            new_RN = (j_BRN != 0).any(0)
            old_RN = felt.get(k)
            felt[k] = new_RN if old_RN is None else new_RN | old_RN
            grown = grown or old_RN is None or _differ(old_RN, felt[k])
        if f_BRS is not None:
            new_RS = (f_BRS != 0).any(0)
            both_RS = new_RS if moves_RS is None else new_RS | moves_RS
            grown = grown or moves_RS is None or _differ(moves_RS, both_RS)
            moves_RS = both_RS
        if grown:
            memory["felt"], memory["moves"] = felt, moves_RS
            memory["mask"] = {k: self.spread(m_RN, moves_RS) for k, m_RN in felt.items()}
        return dict(memory["mask"])

    def spread(self, m_RN: Tensor, moves_RS: Tensor | None) -> Tensor:
        """Return M_n from M_1."""
        if moves_RS is None:
            return m_RN
        size = moves_RS.shape[1]
        for _ in range(self.n - 1):
            wider_RN = m_RN | ((moves_RS.float() @ m_RN[:size].float()) > 0)
            if not _differ(wider_RN, m_RN):
                break
            m_RN = wider_RN
        return m_RN


def _differ(a: Tensor, b: Tensor) -> bool:
    return a.is_meta or not torch.equal(a, b)
