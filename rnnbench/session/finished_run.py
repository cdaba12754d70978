"""A run that has ended, as an object to ask: figures, curve, model, answers, pictures."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from rnnbench.errors import RunError
from rnnbench.registry.given_classes import SESSION
from rnnbench.session.advice import in_python
from rnnbench.session.answers import Answer, AskedInNumbers, question
from rnnbench.session.listing import Listing, as_frame, html_table, shown
from rnnbench.session.ranges import refuse_below, refuse_no_seed, refuse_other

if TYPE_CHECKING:
    import pandas

    from rnnbench.nn import Model
    from rnnbench.results.record import Record
    from rnnbench.session.diagnosis import Diagnosis
    from rnnbench.session.plots import ShownFigure
    from rnnbench.trained.load import Trained

Method = Literal["greedy", "sample", "beam"]
METHODS = ("greedy", "sample", "beam")


class FinishedRun:
    """A run that has ended: its record, and its model where it left one.

    Attributes:
        record: all that it left, see `rnnbench.results.record.Record`.
        out: folder or address of the results that it is in.
    """

    def __init__(self, record: Record, out: Path | str) -> None:
        self.record, self.out = record, out

    @property
    def id(self) -> str:
        """Return its name, by which `rb.load` and the command line find it."""
        return self.record.run_id

    @property
    def status(self) -> str:
        """Return how it ended: "done", or see `rnnbench.results.record.Status`."""
        return self.record.status.value

    @property
    def reason(self) -> str | None:
        """Return why it did not end as "done"; None where it did."""
        return self.record.reason

    @property
    def settings(self) -> dict[str, Any]:
        """Return every setting by its dotted name."""
        return dict(self.record.spec.flat_settings())

    @property
    def metrics(self) -> dict[str, dict[str, float | None]]:
        """Return its figures: {"valid": {metric: value}, "test": {...}}.

        Raises:
            RunError: it ended before it had any.
        """
        if not self.record.metrics:
            raise RunError(f"{self.id} has no metrics: it ended as {self.status} ({self.reason})")
        return {split: dict(figures) for split, figures in self.record.metrics.items()}

    @property
    def baselines(self) -> dict[str, dict[str, dict[str, float | None]]]:
        """Return the figures of the task's trivial methods, by split and name."""
        return self.record.baselines

    @property
    def curve(self) -> pandas.DataFrame:
        """Return its validations, a row each: step, seconds of training, and every figure.

        Raises:
            MissingPandasError: pandas is not installed; `record.curve` has the same.
        """
        return as_frame(
            curve_rows(self.record), ["step", "seconds"] if not self.record.curve else ()
        )

    @property
    def folder(self) -> Path:
        """Return where its files lie on this machine."""
        from rnnbench.results.store import folder_of

        return folder_of(self.out) / "runs" / self.id

    @property
    def model(self) -> Model:
        """Return its model with the best weights, a `torch.nn.Module` in evaluation mode.

        Raises:
            RunError: it left no weights.
            PluginError: a plugin is missing, or of another version.
        """
        return self._trained.model

    @cached_property
    def _trained(self) -> Trained:
        return self._load()

    @in_python
    def _load(self) -> Trained:
        from rnnbench.results.store import Store
        from rnnbench.trained.load import load_run

        with closing(Store(self.out)) as store:
            return load_run(store, self.id)

    @in_python
    def predict(
        self, x: Any, *, method: Method = "greedy", temperature: float = 1.0,
        top_k: int | None = None, top_p: float = 1.0, beam: int = 5,
        length_penalty: float = 0.0, seed: int = 0, max_length: int | None = None,
    ) -> Answer:  # fmt: skip
        """Return what its model makes of one input.

        Args:
            x: text, as `rnnbench predict --input` takes it; a DataFrame, which is read as a CSV of
                its columns is; or an array of the numbers that the model reads: (steps,) tokens or
                (steps, width) values.
            method, temperature, top_k, top_p, beam, length_penalty, seed: of a decoded output.
            max_length: tokens of an output at most; None: as the task says.

        Raises:
            SpecError: the task cannot read the input, or an option would be ignored.
            RunError: see `model`.
        """
        from rnnbench.trained.load import predict, read_decoding, with_max_length

        refuse_other("method", method, METHODS)
        refuse_below(1, max_length=max_length, top_k=top_k, beam=beam)
        refuse_no_seed(seed)
        how = read_decoding("greedy", {
            "method": method, "temperature": temperature, "top_k": top_k, "top_p": top_p,
            "beam": beam, "length_penalty": length_penalty,
        })  # fmt: skip
        trained = self._trained if max_length is None else self._load()
        if max_length is not None:
            trained = with_max_length(trained, max_length)
        task = trained.task
        text, are_numbers = question(x, task)
        if are_numbers:
            trained = trained._replace(task=cast(Any, AskedInNumbers(task)))
        told = predict(trained, text, how, seed)
        return Answer(
            told["prediction"],
            told.get("log_probability_nats"),
            told.get("attention"),
            told.get("reached_max_length"),
            _columns_of(task),
            tuple(told.get("notes", ())),
        )

    @in_python
    def generate(
        self, prompt: str | None = None, *, length: int = 400, samples: int | None = None,
        method: Method | None = None, temperature: float = 1.0, top_k: int | None = None,
        top_p: float = 1.0, beam: int = 5, length_penalty: float = 0.0, seed: int = 0,
        max_length: int | None = None,
    ) -> Listing:  # fmt: skip
        """Return what it produces: texts that go on from a prompt, or outputs for test inputs.

        Args:
            prompt: what a language model goes on from; None: a new line.
            length: steps that a language model produces.
            samples: how many; None: 1 text, or 5 outputs.
            method: None: the task's usual one.

        Raises:
            RunError: the task generates nothing, or goes on from no prompt.
        """
        from rnnbench.trained.load import generate, with_max_length

        refuse_other("method", method, METHODS)
        refuse_below(
            1, length=length, samples=samples, max_length=max_length, top_k=top_k, beam=beam
        )
        refuse_no_seed(seed)
        trained = self._trained if max_length is None else self._load()
        if max_length is not None:
            trained = with_max_length(trained, max_length)
        chosen = {
            "method": method, "temperature": temperature, "top_k": top_k, "top_p": top_p,
            "beam": beam, "length_penalty": length_penalty,
        }  # fmt: skip
        made = generate(
            trained, self.id, chosen, prompt=prompt, length=length, samples=samples, seed=seed
        )
        notes = []
        if samples is not None and len(made) < samples:
            notes = [f"{len(made)} of {samples} samples: the test split has no more inputs"]
        return Listing(made, notes=notes)

    @in_python
    def diagnose(self, rows: int = 16, steps: int = 200, *, untrained: bool = False) -> Diagnosis:
        """Return how gradients travel through its model, as `rnnbench diagnose` shows it.

        Args:
            rows, steps: at most so many of the validation split's first batch.
            untrained: beside it, the model before training.

        Returns:
            An object with `.data` and `.plot()`, which shows as a table.
        """
        from rnnbench.session.diagnosis import Diagnosis
        from rnnbench.trained.diagnose import diagnose
        from rnnbench.trained.load import untrained_run

        refuse_below(1, rows=rows)
        refuse_below(3, steps=steps)
        found = {self.id: diagnose(self._load(), rows, steps)}
        if untrained:
            found[f"{self.id} (untrained)"] = diagnose(untrained_run(self.record), rows, steps)
        return Diagnosis(found)

    def plot(self, metric: str | None = None, *, beside: Any = ()) -> ShownFigure:
        """Return a picture of its validations; nothing is shown or written by itself.

        Args:
            metric: what is drawn over steps; None: the one that chose the weights.
            beside: runs to draw with it, one or several.

        Raises:
            RunError: a run has no such figure.
        """
        from rnnbench.session.plots import plot_curves

        others = [beside] if isinstance(beside, FinishedRun) else list(beside)
        return plot_curves([self.record, *(r.record for r in others)], metric)

    def __repr__(self) -> str:
        lines = [f"{self.id}: {self.status}" + (f" ({self.reason})" if self.reason else "")]
        lines += [repr(self._figures())] if self.record.metrics else []
        return "\n".join([*lines, *self._remarks()])

    def _repr_html_(self) -> str:
        title = f"<b>{escape(self.id)}</b>: {escape(self.status)}"
        if self.reason:
            title += f" ({escape(self.reason)})"
        said = "".join(f"<p>{escape(text)}</p>" for text in self._remarks())
        if not self.record.metrics:
            return f"<p>{title}</p>{said}"
        figures = self._figures()
        cells = [[shown(row.get(name)) for name in figures.columns] for row in figures.rows]
        sides = ["left", *["right"] * (len(figures.columns) - 1)]
        return f"<p>{title}</p>" + html_table(figures.columns, cells, sides) + said

    def _remarks(self) -> list[str]:
        """Return what is to be known of its code."""
        parts = self.record.provenance.get("third_parties", {}).items()
        return [
            f"{part.partition('/')[2]} was defined in {SESSION}: its code has no version and is "
            "kept nowhere."
            for part, about in parts
            if about["distribution"] == SESSION
        ]

    def _figures(self) -> Listing:
        """Return its metrics beside the trivial baselines."""
        record = self.record
        last = "test" if "test" in record.metrics else "valid"
        units: Mapping[str, str] = {m["name"]: m["unit"] for m in record.metric_info}
        rows = []
        for name in record.metrics[last]:
            row: dict[str, Any] = {"metric": f"{name} {units.get(name, '')}".strip()}
            row |= {split: figures.get(name) for split, figures in record.metrics.items()}
            for baseline, values in record.baselines.get(last, {}).items():
                row[f"{baseline} ({last})"] = values.get(name)
            rows.append(row)
        return Listing(rows)


def curve_rows(record: Record) -> list[dict[str, Any]]:
    """Return the validations of a run, a row each."""
    return [
        {"step": step, "seconds": seconds, **figures} for step, seconds, figures in record.curve
    ]


def _columns_of(task: Any) -> tuple[str, ...]:
    """Return the names of the values that a task forecasts; () where they have none."""
    series = getattr(task, "series", None)
    if series is None or not hasattr(series, "target"):
        return ()
    return tuple(series.columns[d] for d in series.target)
