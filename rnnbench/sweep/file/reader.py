"""Checks the parts of a sweep file. Every error names the file and the line."""

from __future__ import annotations

import math
from typing import Any

from rnnbench.errors import SpecError, SweepError
from rnnbench.files.yaml_with_lines import Place, YamlText
from rnnbench.registry.registry import did_you_mean
from rnnbench.spec.fill import fill
from rnnbench.spec.run_spec import Trainer
from rnnbench.spec.seeds import complaint
from rnnbench.sweep.file.search_options import REQUIRED, ChosenMethod, Option, Search

ROOTS = ("optimizer", "budget", "task", "architecture", "tricks")


class Reader:
    """Checks the parts of a sweep file, and returns them in their types.

    Each method takes the place of a value in the file and the value, returns what it means, and
    raises SweepError with file and line where it cannot be.
    """

    def __init__(self, text: YamlText) -> None:
        self.text = text

    def error(self, place: Place, message: str) -> SweepError:
        """Return an error about a place of the file."""
        return SweepError(f"{self.text.at(*place)}: {message}")

    def mapping(
        self, place: Place, value: Any, known: list[str] | None, required: list[str] | None = None
    ) -> dict[str, Any]:
        """Read a mapping.

        Args:
            known: keys that it may have; None: any.
            required: keys that it must have.
        """
        name = ".".join(map(str, place)) or "a sweep"
        if not isinstance(value, dict):
            raise self.error(place, f"{name} is a mapping (key: value), got {value!r}")
        for key in value:
            if known is not None and key not in known:
                raise self.error(
                    (*place, key),
                    f"unknown key {key!r}{did_you_mean(key, known)}\n"
                    f"  {name} takes: {', '.join(known) or 'nothing'}",
                )
        for key in required or ():
            if key not in value:
                raise self.error(place, f"{name} lacks {key!r}")
        return value

    def integer(self, place: Place, value: Any, low: int) -> int:
        """Read a whole number from `low` on."""
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise self.error(place, f"{place[-1]} is a whole number from {low} on, got {value!r}")
        return value

    def seed(self, place: Place, value: Any) -> int:
        """Read the seed of a run."""
        if problem := complaint([value]):
            raise self.error(place, f"{place[-1]}: {problem}")
        return int(value)

    def seeds(self, place: Place, value: Any) -> list[int]:
        """Read a list of seeds, without any twice."""
        if isinstance(value, list) and (problem := complaint(value)):
            first = next(i for i, seed in enumerate(value) if complaint([seed]))
            raise self.error((*place, first), f"{place[-1]}: {problem}")
        return [int(seed) for seed in self.sequence(place, value)]

    def sequence(self, place: Place, value: Any) -> list[Any]:
        """Read a list of at least one value, without any twice."""
        if not isinstance(value, list) or not value:
            raise self.error(place, f"{place[-1]} is a list of at least one, got {value!r}")
        for i, item in enumerate(value):
            if item in value[:i]:
                raise self.error((*place, i), f"{item!r} is listed twice; keep one")
        return value

    def plugin(self, place: Place, value: Any) -> dict[str, Any]:
        """Read a plugin, given as its name or as {name: ..., field: value}, as the latter."""
        entry = {"name": value} if isinstance(value, str) else value
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise self.error(place, f"a plugin is a name or {{name: ..., field: value}}: {value!r}")
        return entry

    def plugins(self, place: Place, value: Any) -> tuple[dict[str, Any], ...]:
        """Read a list of plugins, without any twice."""
        entries = [self.plugin((*place, i), v) for i, v in enumerate(self.sequence(place, value))]
        self.sequence(place, entries)  # `lstm` and `{name: lstm}` are the same
        return tuple(entries)

    def trick_sets(self, place: Place, value: Any) -> tuple[tuple[dict[str, Any], ...], ...]:
        """Read a list of sets of tricks, each a list of plugins."""
        sets = []
        for i, entry in enumerate(self.sequence(place, value)):
            if not isinstance(entry, list):
                raise self.error(
                    (*place, i), f"an entry of tricks is a list, such as [clip]; got {entry!r}"
                )
            tricks = [self.plugin((*place, i, j), t) for j, t in enumerate(entry)]
            for j, trick in enumerate(tricks):
                if trick["name"] in [t["name"] for t in tricks[:j]]:
                    raise self.error((*place, i, j), f"the trick {trick['name']!r} is listed twice")
            sets.append(tuple(tricks))
        self.sequence(place, sets)
        return tuple(sets)

    def settings(
        self, place: Place, value: Any, tasks: tuple[dict[str, Any], ...]
    ) -> dict[str, dict[str, Any]]:
        """Read fixed settings by dotted name, in a group for all tasks and a group for each."""
        groups = self.mapping(place, value, ["all", *dict.fromkeys(t["name"] for t in tasks)])
        for group, names in groups.items():
            for name in self.mapping((*place, group), names, None):
                self.dotted((*place, group, name))
        return groups

    def dotted(self, place: Place) -> None:
        """Check that a place ends in a dotted name, such as `architecture.hidden`."""
        root, *rest = str(place[-1]).split(".")
        if root not in ROOTS or len(rest) != (2 if root == "tricks" else 1) or not all(rest):
            raise self.error(
                place,
                f"{place[-1]!r} names no setting{did_you_mean(root, ROOTS) * (root not in ROOTS)}\n"
                "  Write optimizer.FIELD, budget.FIELD, task.FIELD, architecture.FIELD or "
                "tricks.TRICK.FIELD",
            )

    def chosen(self, place: Place, value: Any, menu: dict[str, dict[str, Option]]) -> ChosenMethod:
        """Read a sampler, a pruner or a rule of the menu, with its options."""
        entry = {"name": value} if isinstance(value, str) else value
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise self.error(place, f"{place[-1]} is a name or {{name: ..., option: value}}")
        name = entry["name"]
        if name not in menu:
            raise self.error(
                place,
                f"unknown {place[-1]} {name!r}{did_you_mean(name, menu)}\n"
                f"  known: {', '.join(menu)}",
            )
        options = menu[name]
        self.mapping(place, entry, ["name", *options])
        values = []
        for key, option in options.items():
            if key not in entry and option.default is REQUIRED:
                raise self.error(place, f"{name} needs {key}: {option.help}")
            option_value = option.default
            if key in entry:
                option_value = self.option((*place, key), entry[key], option)
            values.append((key, option_value))
        return ChosenMethod(name, tuple(values))

    def option(self, place: Place, value: Any, option: Option) -> Any:
        """Read the value of an option, within its bounds."""
        if option.type is str:
            if value not in option.words:
                words = ", ".join(option.words)
                raise self.error(place, f"{place[-1]} ({option.help}) is one of {words}: {value!r}")
            return value
        kinds = (int, float) if option.type is float else (int,)
        low = -math.inf if option.low is None else option.low
        high = math.inf if option.high is None else option.high
        is_number = isinstance(value, kinds) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or not low <= value <= high:
            kind = "a number" if option.type is float else "a whole number"
            bounds = f" from {low:g}" * (low > -math.inf) + f" to {high:g}" * (high < math.inf)
            raise self.error(place, f"{place[-1]} ({option.help}) is {kind}{bounds}: got {value!r}")
        return option.type(value)

    def final_seeds(self, place: Place, value: Any, search: Search) -> tuple[int, ...]:
        """Read the seeds of the final runs, which must not be those of the search."""
        seeds = self.seeds(place, value)
        for seed in search.seeds or (search.seed,):
            if seed in seeds and search.trials != 0:
                raise self.error(
                    (*place, seeds.index(seed)),
                    f"seed {seed} is the seed of the search: a configuration must be reported "
                    "on seeds that did not choose it",
                )
        return tuple(seeds)

    def trainer(self, place: Place, value: Any) -> Trainer:
        """Read the options of the trainer."""
        options = self.mapping(place, value, None)
        places = {f"trainer.{name}": self.text.at(*place, name) for name in options}
        try:
            return fill(Trainer, options, "trainer", places)
        except SpecError as error:
            raise SweepError(str(error)) from error
