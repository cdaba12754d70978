"""Tied input and output embeddings."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from rnnbench.contract import Kind, Refusal, Task, Trick


@dataclass(frozen=True)
class TiedWeights(Trick):
    """One matrix is both the embedding of the tokens that the model reads and its readout.

    logits_t = E h_t + b with E the embedding table. It starts as a readout does.

    Source: Press & Wolf (2017), arXiv:1608.05859; Inan, Khosravi & Socher (2017),
    arXiv:1611.01462.
    """

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        embed = getattr(getattr(model, "embed", None), "map", None)
        readout = getattr(model, "readout", None)
        if not isinstance(embed, nn.Embedding) or not isinstance(readout, nn.Linear):
            raise Refusal(
                f"tied-weights shares an embedding with the readout; {task.name} has real-valued "
                "inputs or outputs.\n  Drop tied-weights, or choose a task over tokens."
            )
        if task.kind in (Kind.ALIGNED, Kind.SEQ_TO_VEC) and task.source != task.target:
            raise Refusal(
                f"tied-weights needs one vocabulary at both ends; {task.name} reads "
                f"{task.source.classes} and predicts {task.target.classes} classes.\n"
                "  Drop tied-weights."
            )
        if embed.weight.shape != readout.weight.shape:
            (classes, width), (_, hidden) = embed.weight.shape, readout.weight.shape
            raise Refusal(
                f"tied-weights needs embedding and readout of one shape; here {classes} × {width} "
                f"and {classes} × {hidden}.\n"
                "  Set architecture.embedding to the width of the output, or leave it null."
            )
        embed.weight = readout.weight
        return model
