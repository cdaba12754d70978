"""`rnnbench generate` and `rnnbench predict`: what a finished run produces, printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rnnbench.errors import DataError
from rnnbench.results.find_run import root_of
from rnnbench.results.store import Store


def generate_command(
    root: Path | str, run: str, chosen: Mapping[str, Any], *, prompt: str | None, length: int,
    samples: int | None, seed: int, max_length: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Print continuations of a prompt, or outputs for test inputs.

    Args:
        chosen: fields of `Decoding`; a method of None is the task's default one.
        max_length: tokens of an output at most; None: as the run's task says.
    """
    from rnnbench.trained.load import generate, load_run, with_max_length

    trained = load_run(Store(root_of(root, [run])), run)
    if max_length is not None:
        trained = with_max_length(trained, max_length)
    shown = generate(trained, run, chosen, prompt=prompt, length=length, samples=samples, seed=seed)
    if samples is not None and len(shown) < samples:
        text = f"{len(shown)} of {samples} samples: the test split has no more inputs"
        print(text, file=sys.stderr)
    if as_json:
        print(json.dumps({"run": trained.record.run_id, "samples": shown}, ensure_ascii=False))
    else:
        _print_samples(shown)


def _print_samples(samples: Sequence[Mapping[str, str]]) -> None:
    for i, sample in enumerate(samples):
        if i:
            print("-" * 40)
        if list(sample) == ["text"]:
            print(sample["text"])
        else:
            width = max(map(len, sample))
            for name, value in sample.items():
                print(f"{name:<{width}}  {value}")


def predict_command(
    root: Path | str, run: str, text: str, chosen: Mapping[str, Any], *, seed: int,
    max_length: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Print what a run makes of one input.

    Args:
        text: as `--input` has it, see `read_input`.
        chosen: fields of `Decoding`; a method of None is "greedy".
        max_length: tokens of the output at most; None: as the run's task says.
    """
    from rnnbench.trained.load import load_run, predict, read_decoding, with_max_length

    store, text = Store(root_of(root, [run])), read_input(text)
    how = read_decoding("greedy", chosen)
    trained = load_run(store, run)
    if max_length is not None:
        trained = with_max_length(trained, max_length)
    shown = predict(trained, text, how, seed)
    print(json.dumps(shown, ensure_ascii=False, indent=2) if as_json else shown["prediction"])
    if not as_json:
        for note in shown.get("notes", ()):
            print(f"note: {note}", file=sys.stderr)
    if not as_json and "reached_max_length" in shown:
        print(
            f"cut off at {shown['reached_max_length']} tokens; --max-length allows more",
            file=sys.stderr,
        )


def read_input(value: str) -> str:
    """Return the text of `--input`: that of a file of this name, or of standard input for "-"."""
    try:
        if value == "-":
            return sys.stdin.read()
        if Path(value).is_file():
            return Path(value).read_text("utf-8-sig")
    except OSError:  # too long for a name, so it is the text itself
        pass
    except UnicodeDecodeError as error:
        raise DataError(
            f"--input {value}: byte {error.start} is not UTF-8 ({error.reason}). Give plain text "
            "of UTF-8, such as a sentence or a CSV: neither Parquet nor packed"
        ) from error
    return value
