"""A forget gate that starts open."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from rnnbench.contract import Refusal, Task, Trick, setting
from rnnbench.nn.cells.gate_names import gates, innermost_cells, set_bias


@dataclass(frozen=True)
class ForgetBias(Trick):
    """The bias of the forget gate starts at a value at which the cell remembers.

    b_f = bias. Where a gate is the share that is written, and the rest is kept, its bias is
    -bias. The sum of a gate's two biases is what is set.

    Source: Jozefowicz, Zaremba & Sutskever (2015), An empirical exploration of recurrent network
    architectures, section 2.1; Gers, Schmidhuber & Cummins (2000),
    doi:10.1162/089976600300015015.
    """

    bias: float = setting(1.0, "b_f at the start", search=(0.0, 5.0))

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        for cell in innermost_cells(model, self.name):
            forget_gates = [g for g in gates(cell, self.name) if g.name in ("forget", "update")]
            if not forget_gates:
                raise Refusal(
                    f"forget-bias acts on a forget gate; {type(cell).__name__} names none "
                    "(`gate_names`).\n"
                    "  Drop forget-bias, or choose a cell with one, such as lstm or gru."
                )
            for gate in forget_gates:
                set_bias(gate, self.bias if gate.name == "forget" else -self.bias, self.name)
        return model
