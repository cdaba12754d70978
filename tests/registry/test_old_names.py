"""What plugins of the version before import: it goes on and is told of, or says what to do.

`old_names.txt` has every public name of that version's modules below `rnnbench.contract`, `.nn`,
`.data` and `.testing`, one `module:name` a line.
"""

import importlib
import importlib.util
import re
import subprocess
import sys
import warnings
from collections import defaultdict
from pathlib import Path

import pytest

from rnnbench.moved import GONE, MODULES, NAMES, PACKAGES
from rnnbench.registry.registry import discover, load, read_class, schema
from rnnbench.registry.schema_from_source import read_source

OLD = defaultdict(list)
for line in (Path(__file__).parent / "old_names.txt").read_text("utf-8").split():
    OLD[line.partition(":")[0]].append(line.partition(":")[2])


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Writes a module of a third-party package, and returns its path and its import."""
    name = "rnnbench_written_before"
    path = tmp_path / f"{name}.py"
    monkeypatch.syspath_prepend(tmp_path)

    def write(text):
        path.write_text(text)

        def load():
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                module = importlib.import_module(name)
            return module, caught

        return path, load

    yield write
    sys.modules.pop(name, None)


@pytest.mark.parametrize("module", OLD)
@pytest.mark.filterwarnings("ignore:rnnbench:DeprecationWarning")
def test_a_name_of_before_is_found_or_says_what_to_do(module):
    if module in GONE:
        with pytest.raises(ImportError, match=r"Copy the part|Plugins import from"):
            importlib.import_module(module)
        return
    found = importlib.import_module(module)
    assert [name for name in OLD[module] if not hasattr(found, name)] == []


def test_only_modules_of_before_are_gone():
    assert set(GONE) - set(OLD) == set()


def test_what_stands_for_an_old_name_is_there():
    homes = {*MODULES.values(), *(home for homes in PACKAGES.values() for home in homes)}
    homes |= {new.partition(":")[0] for names in NAMES.values() for new in names.values()}
    missing = [home for home in sorted(homes) if importlib.util.find_spec(home) is None]
    assert missing == []


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        (
            "from rnnbench.contract.learning import Learning",
            "rnnbench.contract.learning.Learning is deprecated: write "
            "`from rnnbench.contract import EstimatorInput`",
        ),
        (
            "from rnnbench.contract import Learning",
            "rnnbench.contract.Learning is deprecated: write "
            "`from rnnbench.contract import EstimatorInput`",
        ),
        (
            "from rnnbench.contract.types import Refusal",
            "rnnbench.contract.types.Refusal is deprecated: write "
            "`from rnnbench.contract import Refusal`",
        ),
        (
            "from rnnbench.data.windows import Windows",
            "rnnbench.data.windows.Windows is deprecated: write "
            "`from rnnbench.data import Windows`",
        ),
        (
            "from rnnbench.data.series import Series",
            "rnnbench.data.series.Series is deprecated: write `from rnnbench.data import Series`",
        ),
        (
            "from rnnbench.nn.meters import Accuracy",
            "rnnbench.nn.meters.Accuracy is deprecated: write "
            "`from rnnbench.metrics import Accuracy`",
        ),
        (
            "import rnnbench.nn.meters; rnnbench.nn.meters.Translation",
            "rnnbench.nn.meters.Translation is deprecated: write "
            "`from rnnbench.metrics import Translation`",
        ),
        (
            "from rnnbench.nn.cells import GatedCell",
            "rnnbench.nn.cells.GatedCell is deprecated: write `from rnnbench.nn import GatedCell`",
        ),
        (
            "from rnnbench.nn.initialisation import gates",
            "rnnbench.nn.initialisation.gates is deprecated: write "
            "`from rnnbench.nn.cells.gate_names import gates`",
        ),
        (
            "from rnnbench.data.synthetic import Synthetic",
            "rnnbench.data.synthetic.Synthetic is deprecated: write "
            "`from rnnbench.data.tasks.synthetic import Synthetic`",
        ),
    ],
)
def test_the_plugin_is_told_at_its_own_line_once_what_to_write(plugin, line, advice):
    path, load = plugin(f'"""Written before."""\n\n{line}\n')
    _, caught = load()
    told = [(str(w.message), w.filename, w.lineno, w.category) for w in caught]
    assert told == [(advice, str(path), 3, DeprecationWarning)]


def test_what_it_is_told_to_write_works():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for module, names in OLD.items():
            for name in names if module not in GONE else ():
                getattr(importlib.import_module(module), name)
    advice = {re.search(r"`(from .*)`", str(w.message))[1] for w in caught}
    assert len(advice) > 100
    code = "\n".join(sorted(advice))
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_all_names_of_an_old_module_can_be_taken_at_once(plugin):
    _, load = plugin("from rnnbench.nn.meters import *\n")
    module, _ = load()
    assert {"Accuracy", "LanguageModelling", "MeanSquaredError", "Translation"} <= set(vars(module))


def test_an_old_module_has_no_names_that_it_never_had():
    from rnnbench.nn import meters

    with pytest.raises(AttributeError, match="has no attribute 'Bleu'"):
        meters.Bleu  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Bleu'"):
        exec("from rnnbench.nn.cells import Bleu")


def test_a_part_that_went_to_the_plugins_says_where_it_is(plugin):
    _, load = plugin("from rnnbench.nn.delays import DelayCell\n")
    with pytest.raises(ImportError, match=r"import it from rnnbench_architectures\._delays at"):
        load()


BEFORE = '''
from dataclasses import dataclass

from rnnbench.contract import Kind, setting
from rnnbench.data.synthetic import Synthetic
from rnnbench.data.translation import Translation


@dataclass(frozen=True)
class Echo(Synthetic):
    """Say it again."""

    name = "echo"
    kind = Kind.ALIGNED
    length: int = setting(5, "steps", low=1)


@dataclass(frozen=True)
class Backwards(Translation):
    """Say it the other way round."""

    name = "backwards"
    turns: int = setting(1, "how often", low=1)
'''


@pytest.mark.parametrize(("name", "target"), [("echo", "Echo"), ("backwards", "Backwards")])
@pytest.mark.filterwarnings("ignore:rnnbench:DeprecationWarning")
def test_a_base_class_from_an_old_module_is_read_from_source(plugin, name, target, monkeypatch):
    path, _ = plugin(BEFORE)
    info = path.parent / "before-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: before\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[rnnbench.tasks]\n{name} = {path.stem}:{target}\n")
    discover.cache_clear()
    schema.cache_clear()
    try:
        item = discover()[0]["tasks"][name]
        from_source = read_source(item)
        assert path.stem not in sys.modules
        assert from_source == read_class("tasks", name, load("tasks", name))
    finally:
        discover.cache_clear()
        schema.cache_clear()
