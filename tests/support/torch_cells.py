"""torch's own cells with the weights of ours."""

import torch
from torch import nn


def torch_cell(cell):
    """torch's own cell with the weights of ours."""
    kind = {"GRUCell": nn.GRUCell, "LSTMCell": nn.LSTMCell}[type(cell).__name__]
    theirs = kind(cell.weight_x.shape[1], cell.width).double()
    with torch.no_grad():
        theirs.weight_ih.copy_(cell.weight_x)
        theirs.weight_hh.copy_(cell.weight_h)
        theirs.bias_ih.copy_(cell.bias_x)
        theirs.bias_hh.copy_(cell.bias_h)
    return theirs


def read(cell, xs):
    """Outputs and last state of torch's cell over a list of vectors."""
    state, outputs = None, []
    for x in xs:
        state = cell(x[None], state)
        outputs.append((state[0] if isinstance(state, tuple) else state)[0])
    return outputs, state
