"""Asks a trained run about new input: `rnnbench predict` and `rnnbench generate`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from rnnbench.contract import Batch, Prediction, Task
from rnnbench.contract.task import AnswerReader
from rnnbench.errors import RunError, UserError
from rnnbench.nn import Model
from rnnbench.nn.models.base import Continuation
from rnnbench.nn.models.decoding import Decoded, Decoding, decode
from rnnbench.results.find_run import find_run
from rnnbench.results.record import Record
from rnnbench.results.store import Store
from rnnbench.spec.instantiate import instantiate
from rnnbench.training.modes import evaluating
from rnnbench.training.train_step import TrickFold, assemble


class Trained(NamedTuple):
    """A finished run whose model can be asked."""

    record: Record
    task: Task
    model: Model


def load_run(store: Store, run: str) -> Trained:
    """Return a finished run's task and its model with the best weights, in evaluation mode.

    Raises:
        RunError: no such run, or it left no weights.
        PluginError: a plugin is missing, or of another version.
    """
    from safetensors.torch import load_file

    record = find_run(store, run)
    path = store.fetch(record.run_id, ["weights.safetensors"]) / "weights.safetensors"
    if not path.is_file():
        raise RunError(
            f"{record.run_id} ({record.status}) has left no weights: only a finished run does.\n"
            "  Run it to its end, then ask again."
        )
    task, architecture, tricks = instantiate(record.spec)
    model = assemble(architecture, task, TrickFold(tricks))
    model.load_state_dict(load_file(path))
    return Trained(record, task, model.eval())


def untrained_run(record: Record) -> Trained:
    """Return a run's task and its model as it was before training."""
    from rnnbench.training.determinism import seed_everything

    task, architecture, tricks = instantiate(record.spec)
    seed_everything(record.spec.seed)
    return Trained(record, task, assemble(architecture, task, TrickFold(tricks)).eval())


def read_decoding(default: Literal["greedy", "sample"], chosen: Mapping[str, Any]) -> Decoding:
    """Return how to decode, from the fields of `Decoding`; a method of None is the default one."""
    return Decoding(**{**chosen, "method": chosen.get("method") or default})


def predict(
    store: Store, run: str, text: str, chosen: Mapping[str, Any], *, seed: int, as_json: bool
) -> None:
    """Print what a run makes of one input."""
    how = read_decoding("greedy", chosen)
    trained = load_run(store, run)
    batch, answer = _ask(trained.task, text)
    y, decoded = _predict_row(trained, batch, how, torch.Generator().manual_seed(seed))
    prediction = answer(y)
    if not as_json:
        print(prediction)
        return
    shown: dict[str, Any] = {"run": trained.record.run_id, "input": text, "prediction": prediction}
    if decoded is not None and decoded.score is not None:
        shown["log_probability_nats"] = float(decoded.score[0])
    if decoded is not None and decoded.attention is not None:
        shown["attention"] = decoded.attention[0].tolist()
    print(json.dumps(shown, ensure_ascii=False, indent=2))


def _ask(task: Task, text: str) -> tuple[Batch, AnswerReader]:
    """Return `task.ask(text)`.

    Raises:
        RunError: the task cannot read the text.
    """
    try:
        return task.ask(text)
    except UserError:
        raise
    except ValueError as error:  # by which plugins say what they expect
        raise RunError(str(error)) from error


def _predict_row(
    trained: Trained, batch: Batch, how: Decoding, rng: torch.Generator
) -> tuple[Tensor, Decoded | None]:
    """Return what the model says of one row, and how it was decoded, if it was."""
    model, task = trained.model, trained.task
    with evaluating(model):
        if model.decodes:
            decoded = model.decoded(batch, how, rng)
            return decoded.y[0], decoded
        if how != Decoding():
            raise RunError(
                f"{task.name} is {task.kind.value}: its output is not decoded step by step, so "
                "there is nothing to sample or search; drop these options"
            )
        out = model(batch).out[0]
    return task.target.choose(out), None


def generate(
    store: Store, run: str, chosen: Mapping[str, Any], *, prompt: str | None, length: int,
    samples: int | None, seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Print what a run produces: continuations of a prompt, or outputs for test inputs.

    Where no method is chosen, text is sampled, and outputs for inputs are the most probable.
    """
    trained = load_run(store, run)
    how = read_decoding("sample" if trained.task.continues else "greedy", chosen)
    rng = torch.Generator().manual_seed(seed)
    if trained.task.continues:
        shown = _continue(trained, how, rng, prompt, length, samples or 1)
    elif trained.model.decodes:
        if prompt is not None:
            raise RunError(
                f"{trained.task.name} goes on from no prompt; for an output of your own input: "
                f"rnnbench predict {run} --input ..."
            )
        shown = _from_test(trained, how, rng, samples or 5)
    else:
        raise RunError(
            f"{trained.task.name} is {trained.task.kind.value} and generates nothing; "
            f"to ask what the run makes of an input: rnnbench predict {run} --input ..."
        )
    if as_json:
        print(json.dumps({"run": trained.record.run_id, "samples": shown}, ensure_ascii=False))
        return
    for i, example in enumerate(shown):
        if i:
            print("-" * 40)
        if list(example) == ["text"]:
            print(example["text"])
        else:
            wide = max(map(len, example))
            for name, value in example.items():
                print(f"{name:<{wide}}  {value}")


def _continue(
    trained: Trained, how: Decoding, rng: torch.Generator, prompt: str | None, length: int,
    samples: int,
) -> list[dict[str, str]]:  # fmt: skip
    """Return texts that go on from a prompt."""
    task, model = trained.task, trained.model
    if how.method != "sample" and samples > 1:
        raise RunError(f"method {how.method!r} always says the same: ask for one sample")
    batch, answer = _ask(task, "\n" if prompt is None else prompt)
    rows = Batch(batch.x.repeat(samples, 1), batch.y.repeat(samples, 1))
    with evaluating(model):
        decoded = decode(Continuation(model), rows, how, steps=length, rng=rng)
    texts = [answer(torch.cat([x, y])) for x, y in zip(rows.x, decoded.y, strict=True)]
    return [{"text": text} for text in texts]


def _from_test(
    trained: Trained, how: Decoding, rng: torch.Generator, samples: int
) -> list[dict[str, str]]:
    """Return outputs for the first inputs of the test split."""
    task, model = trained.task, trained.model
    data = task.data("test", 0)
    batch = data.batch(data.order(samples, None)[0], None)
    with evaluating(model):
        result = model(batch)
        nll, mask = model.nll(result.out, batch)
        decoded = model.decoded(batch, how, rng)
    prediction = Prediction(nll, mask, result.out, decoded.y, decoded.attention, decoded.out)
    shown = task.show(batch, prediction)
    if shown:
        return shown[:samples]
    return [{"prediction": " ".join(f"{v:g}" for v in y.flatten().tolist())} for y in decoded.y]


def read_input(value: str) -> str:
    """Return the text of `--input`: that of a file of this name, or of standard input for "-"."""
    if value == "-":
        return sys.stdin.read()
    try:
        if Path(value).is_file():
            return Path(value).read_text("utf-8")
    except OSError:  # too long for a name, so it is the text itself
        pass
    return value
