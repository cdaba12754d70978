"""Loads a finished run, and asks it: for its answer to an input, or for what it generates.

`rnnbench.cli.actions.generate` prints what comes out.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from rnnbench.contract import Answers, Batch, Prediction, Task
from rnnbench.errors import RunError, SpecError, UserError
from rnnbench.nn import Model
from rnnbench.nn.models.base import Continuation
from rnnbench.nn.models.decoding import Decoded, Decoding, decode
from rnnbench.nn.models.output_lengths import reached_limit
from rnnbench.registry.given_classes import SESSION, given_class
from rnnbench.results.find_run import find_run
from rnnbench.results.record import Record
from rnnbench.results.run_folder import WEIGHTS
from rnnbench.results.store import Store
from rnnbench.spec.instantiate import instantiate
from rnnbench.training.modes import evaluating
from rnnbench.training.train_step import TrickFold, assemble

Asked = TypeVar("Asked")

SHOWN = 8  # inputs of a batch: so many a task shows of it


class Trained(NamedTuple):
    """A finished run whose model can be asked."""

    record: Record
    task: Task
    model: Model


def load_run(store: Store, run: str) -> Trained:
    """Return a finished run's task, and its model with the best weights, in evaluation mode.

    Raises:
        RunError: no such run, or it left no weights.
        PluginError: a plugin is missing, or of another version.
    """
    from safetensors.torch import load_file

    record = find_run(store, run)
    path = store.fetch(record.run_id, [WEIGHTS]) / WEIGHTS
    if not path.is_file():
        raise RunError(
            f"{record.run_id} ({record.status}) has left no weights: only a finished run does.\n"
            "  Run it to its end, then ask again."
        )
    _refuse_lost_code(record)
    task, architecture, tricks = instantiate(record.spec)
    model = assemble(architecture, task, TrickFold(tricks))
    model.load_state_dict(load_file(path))
    return Trained(record, task, model.eval())


def _refuse_lost_code(record: Record) -> None:
    """Refuse a run with plugins of a Python session that is not this one.

    Raises:
        RunError
    """
    for place, about in record.provenance.get("third_parties", {}).items():
        kind, _, name = place.partition("/")
        if about["distribution"] == SESSION and given_class(kind, name) is None:
            raise RunError(
                f"{record.run_id} was trained with {name}, which was defined in {SESSION}: its "
                f"code is kept nowhere.\n  In a session that has that class, give it to rb.check "
                "first, then ask again"
            )


def untrained_run(record: Record) -> Trained:
    """Return the run's task and its model as it was before training."""
    from rnnbench.training.determinism import seed_everything

    task, architecture, tricks = instantiate(record.spec)
    seed_everything(record.spec.seed)
    return Trained(record, task, assemble(architecture, task, TrickFold(tricks)).eval())


def read_decoding(default: Literal["greedy", "sample"], chosen: Mapping[str, Any]) -> Decoding:
    """Return how to decode, from the fields of `Decoding`; a method of None is the default one.

    Raises:
        SpecError: options that cannot be, or of which one would be ignored.
    """
    return Decoding(**{**chosen, "method": chosen.get("method") or default})


def _ask(read: Callable[[str], Asked], text: str) -> Asked:
    """Return what `ask` or `ask_rows` of a task reads.

    Raises:
        SpecError: the task cannot read the text.
    """
    try:
        return read(text)
    except UserError:
        raise
    except ValueError as error:  # by which plugins say what they expect
        raise SpecError(str(error)) from error


def predict(trained: Trained, text: str, how: Decoding, seed: int) -> dict[str, Any]:
    """Return what a run makes of one input.

    Returns:
        run, input and prediction; log_probability_nats and attention (a list for each output step)
        where the output was decoded by a model that has them; notes on answers, where a task has
        some.
    """
    if (answers := _ask(trained.task.ask_rows, text)) is not None:
        return _predict_rows(trained, text, answers, how, torch.Generator().manual_seed(seed))
    batch, answer = _ask(trained.task.ask, text)
    y, decoded = _predict_row(trained, batch, how, torch.Generator().manual_seed(seed))
    shown: dict[str, Any] = {
        "run": trained.record.run_id, "input": text, "prediction": answer(y),
    }  # fmt: skip
    if decoded is not None and decoded.score is not None:
        shown["log_probability_nats"] = float(decoded.score[0])
    if decoded is not None and decoded.attention is not None:
        shown["attention"] = decoded.attention[0].tolist()
    if decoded is not None and _reached(trained.model, decoded)[0]:
        shown["reached_max_length"] = len(decoded.y[0])
    return shown


def _predict_rows(
    trained: Trained, text: str, answers: Answers, how: Decoding, rng: torch.Generator
) -> dict[str, Any]:
    """Return what a run makes of several inputs at once, such as series of a table."""
    with evaluating(trained.model):
        decoded = trained.model.decoded(answers.batch, how, rng)
    shown: dict[str, Any] = {
        "run": trained.record.run_id, "input": text,
        "prediction": answers.read(decoded.y, decoded.out),
    }  # fmt: skip
    if answers.notes:
        shown["notes"] = list(answers.notes)
    return shown


def with_max_length(trained: Trained, tokens: int) -> Trained:
    """Return the run with a model whose outputs have up to so many tokens.

    Raises:
        RunError: its outputs are not lists of tokens that end by themselves.
    """
    task, model = trained.task, trained.model
    target = model.target
    if not model.decodes or target.stop is None or target.layout == "positions":
        instead = "take --length" if task.continues else "drop --max-length"
        raise RunError(
            f"{task.name}: --max-length is for outputs that end by themselves, such as "
            f"translations, and these do not; {instead}"
        )
    model.target = dataclasses.replace(target, longest=tokens)
    return trained


def _reached(model: Model, decoded: Decoded) -> list[bool]:
    """Return of each output whether it was cut off, not having ended by itself."""
    reached_B = reached_limit(model.target, decoded.y)
    return [False] * len(decoded.y) if reached_B is None else reached_B.tolist()


def _predict_row(
    trained: Trained, batch: Batch, how: Decoding, rng: torch.Generator
) -> tuple[Tensor, Decoded | None]:
    """Return the model's output for a batch of one row, and how it was decoded, if it was."""
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
    trained: Trained, run: str, chosen: Mapping[str, Any], *, prompt: str | None, length: int,
    samples: int | None, seed: int,
) -> list[dict[str, str]]:  # fmt: skip
    """Return what a run produces: continuations of a prompt, or outputs for test inputs.

    Where no method is chosen, text is sampled, and outputs for inputs are the most probable.

    Args:
        run: what messages call the run.
        chosen: fields of `Decoding`.
        length: steps of each continuation.
        samples: by default 1 continuation, or 5 outputs.

    Raises:
        RunError: the task generates nothing, or goes on from no prompt.
    """
    how = read_decoding("sample" if trained.task.continues else "greedy", chosen)
    rng = torch.Generator().manual_seed(seed)
    if trained.task.continues:
        return _continue(trained, how, rng, prompt, length, samples or 1)
    if not trained.model.decodes:
        raise RunError(
            f"{trained.task.name} is {trained.task.kind.value} and generates nothing; "
            "to ask what the run makes of an input: "
            f"rnnbench predict {shlex.quote(run)} --input TEXT"
        )
    if prompt is not None:
        raise RunError(
            f"{trained.task.name} goes on from no prompt; for an output of your own input: "
            f"rnnbench predict {shlex.quote(run)} --input TEXT"
        )
    return _from_test(trained, how, rng, samples or 5)


def _continue(
    trained: Trained, how: Decoding, rng: torch.Generator, prompt: str | None, length: int,
    samples: int,
) -> list[dict[str, str]]:  # fmt: skip
    """Return texts that go on from a prompt."""
    task, model = trained.task, trained.model
    if how.method != "sample" and samples > 1:
        raise RunError(f"method {how.method!r} always says the same: ask for one sample")
    batch, answer = _ask(task.ask, "\n" if prompt is None else prompt)
    rows = Batch(batch.x.repeat(samples, 1), batch.y.repeat(samples, 1))
    with evaluating(model):
        decoded = decode(Continuation(model), rows, how, steps=length, rng=rng)
    texts = [answer(torch.cat([x, y])) for x, y in zip(rows.x, decoded.y, strict=True)]
    return [{"text": text} for text in texts]


def _from_test(
    trained: Trained, how: Decoding, rng: torch.Generator, samples: int
) -> list[dict[str, str]]:
    """Return outputs for the first inputs of the test split: fewer where it has no more."""
    data = trained.task.data("test", 0)
    shown: list[dict[str, str]] = []
    for key in data.order(min(samples, SHOWN), None):
        shown += _show_batch(trained, how, rng, data.batch(key, None))
        if len(shown) >= samples:
            break
    return shown[:samples]


def _show_batch(
    trained: Trained, how: Decoding, rng: torch.Generator, batch: Batch
) -> list[dict[str, str]]:
    """Return the outputs for the inputs of a batch, as the task shows them."""
    task, model = trained.task, trained.model
    with evaluating(model):
        result = model(batch)
        nll, mask = model.nll(result.out, batch)
        decoded = model.decoded(batch, how, rng)
    prediction = Prediction(nll, mask, result.out, decoded.y, decoded.attention, decoded.out)
    shown = task.show(batch, prediction)
    if not shown:
        rows = (y.flatten().tolist() for y in decoded.y)
        shown = [{"prediction": " ".join(f"{v:g}" for v in row)} for row in rows]
    for example, reached in zip(shown, _reached(model, decoded), strict=False):
        if reached:
            example["cut off at"] = f"{decoded.y.shape[1]} tokens"
    return shown
