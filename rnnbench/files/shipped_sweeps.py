"""Finds the sweep files and recipes that come with rnnbench: in a checkout, or inside a wheel."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import rnnbench
from rnnbench.errors import UserError

SUFFIXES = (".yaml", ".yml")


def shipped_folder() -> Path:
    """Return the folder of the shipped sweeps; that of their recipes is `reproduce` in it."""
    package = Path(rnnbench.__file__).parent
    packed = package / "shipped" / "sweeps"  # where the wheel puts them, see pyproject.toml
    return packed if packed.is_dir() else package.parent / "sweeps"


def shipped_sweeps() -> dict[str, Path]:
    """Return the files of the shipped sweeps by name."""
    return {file.stem: file for file in sorted(shipped_folder().glob("*.yaml"))}


def find_sweep_file(given: Path) -> Path:
    """Return the file that a user means: a path, or the name of a shipped sweep.

    Raises:
        UserError: there is neither.
    """
    if given.exists():
        return given
    shipped = shipped_sweeps()
    is_name = len(given.parts) == 1 and given.suffix not in SUFFIXES
    if is_name and given.name in shipped:
        return shipped[given.name]
    if given.stem in shipped:
        hint = f"  A sweep of this name comes with rnnbench: rnnbench sweep {given.stem}"
    elif close := difflib.get_close_matches(given.stem, shipped, n=1):
        hint = f"  Did you mean {close[0]}, which comes with rnnbench?  See: rnnbench sweep --list"
    else:
        hint = "  Those that come with rnnbench: rnnbench sweep --list"
    raise UserError(f"there is no sweep file {given}\n{hint}")


def summary_of(file: Path) -> str:
    """Return the first sentence of the comment that a sweep file begins with."""
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").strip())
    end = re.search(r"(?<!\bal)[.:?](?= |$)", text := " ".join(lines))
    return text if end is None else text[: end.end()].rstrip(":")


def copy_sweep(name: str, to: Path) -> None:
    """Copy a shipped sweep to a new file, to start an own one from.

    Raises:
        UserError: there is no such sweep, or the file is there.
    """
    source = find_sweep_file(Path(name))
    try:
        with open(to, "x", encoding="utf-8") as file:
            file.write(source.read_text(encoding="utf-8"))
    except FileExistsError:
        raise UserError(
            f"{to} is there already\n  Move it away, or write the copy to another file: "
            f"rnnbench sweep --copy {name} --to OTHER.yaml"
        ) from None
    except OSError as error:
        raise UserError(f"cannot write {to}: {error.strerror}") from error
