"""Chrono initialisation: gates that start with time scales up to that of the task."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from rnnbench.contract import Cell, Refusal, Task, Trick, setting
from rnnbench.nn.cells.gate_names import gates, innermost_cells, parameter, set_bias


@dataclass(frozen=True)
class ChronoInit(Trick):
    """Gates' biases start so that units remember for times spread over those of the task.

    b_f ~ log U(1, T_max - 1),  b_i = -b_f,  each unit drawing its own. Where one gate u both
    writes and forgets, as in a gated recurrent unit, the bias of the share that is kept is b_f,
    so that of the share that is written is -b_f. The sum of a gate's two biases is what is set.

    Source: Tallec & Ollivier (2018), arXiv:1804.11188, section 2, eqs. 12 and 16.
    """

    longest: float = setting(
        100.0, "T_max: the longest dependency that is expected", unit="steps", low=2.01,
        search=(10.0, 1000.0, "log"),
    )  # fmt: skip

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        for cell in innermost_cells(model, self.name):
            self.initialise(cell)
        return model

    def initialise(self, cell: Cell) -> None:
        by_name = {g.name: g for g in gates(cell, self.name)}
        keeps = by_name.get("forget") or by_name.get("update")
        if keeps is None:
            raise Refusal(
                f"chrono-init sets how long a cell remembers by its forget gate; "
                f"{type(cell).__name__} names none (`gate_names`).\n"
                "  Drop chrono-init, or choose a cell with one, such as lstm or gru."
            )
        matrix = parameter(cell, "weight_h", self.name)
        assert matrix is not None
        hidden = keeps.rows.stop - keeps.rows.start
        b_f = torch.empty(hidden, device=matrix.device, dtype=matrix.dtype)
        b_f = b_f.uniform_(1.0, self.longest - 1).log()
        set_bias(keeps, b_f if keeps.name == "forget" else -b_f, self.name)
        if "input" in by_name:
            set_bias(by_name["input"], -b_f, self.name)
