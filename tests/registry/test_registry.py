"""Discovery: lazy, by entry points, and unharmed by broken plugins."""

import os
import random
import signal
import subprocess
import sys

import numpy
import pytest
import torch

from rnnbench.errors import PluginError
from rnnbench.registry import guarded_import, import_probe
from rnnbench.registry.registry import discover, entry, load, read_class, schema
from rnnbench.registry.schema import KINDS
from rnnbench.registry.schema_from_source import read_source
from rnnbench.testing.every_plugin import import_changes_nothing
from rnnbench.testing.law import Broken

MINE = "rnnbench_thirdparty_for_tests"


@pytest.fixture
def third_party(tmp_path, monkeypatch):
    """Installs a distribution of plugins on the path: call it with module text and entry points."""

    def install(text, points, name="thirdparty", folder="site"):
        site = tmp_path / folder
        info = site / f"{name}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(points)
        if text is not None:
            (site / f"{MINE}.py").write_text(text)
        monkeypatch.syspath_prepend(site)
        monkeypatch.setenv("PYTHONPATH", str(site))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        discover.cache_clear()
        schema.cache_clear()

    yield install
    sys.modules.pop(MINE, None)
    guarded_import._changed.pop(MINE, None)
    monkeypatch.undo()
    discover.cache_clear()
    schema.cache_clear()


GOOD = '''
from dataclasses import dataclass
from rnnbench.contract import Trick, setting

@dataclass(frozen=True)
class Halve(Trick):
    """Halve the gradient."""

    share: float = setting(0.5, "kept share", low=0.0, high=1.0)

    def gradient(self, parameters, at):
        for p in parameters:
            p.grad *= self.share
        return parameters
'''
POINT = f"[rnnbench.tricks]\nhalve = {MINE}:Halve\n"


def test_a_third_party_trick_is_found_described_and_used(third_party):
    third_party(GOOD, POINT)
    assert entry("tricks", "halve").distribution == "thirdparty"
    found = schema("tricks", "halve")
    assert (found.help, found.sites) == ("Halve the gradient.", ("gradient",))
    assert MINE not in sys.modules, "a schema needs no import"
    assert load("tricks", "halve")(share=0.1).share == 0.1
    assert import_probe.broken_plugins() == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import os; os._exit(7)", "it ends the process: os._exit(7)"),
        ("x = ", "SyntaxError"),
        (GOOD.replace("class Halve", "class Other"), "AttributeError"),
        (GOOD.replace("(frozen=True)", ""), "not a frozen dataclass"),
        (GOOD.replace("(Trick)", ""), "not a subclass of rnnbench.contract.Trick"),
        (
            GOOD.replace("Halve", "Thirds").replace("Thirds(", "Thirds(") + "\nHalve = Thirds\n",
            "the class calls itself 'thirds'",
        ),
    ],
)
def test_a_plugin_that_does_not_import_is_listed_as_broken_and_harms_nothing(
    third_party, text, reason
):
    third_party(text, POINT)
    (broken,) = import_probe.broken_plugins()
    assert (broken.name, broken.distribution) == ("halve", "thirdparty")
    assert reason in broken.reason
    assert load("tricks", "clip").name == "clip"


CHANGES = {
    "torch.set_default_dtype(torch.float64)": "torch's default dtype",
    "torch.manual_seed(3)": "the state of torch's random numbers",
    "import numpy; numpy.random.seed(3)": "the state of NumPy's random numbers",
    "import random; random.seed(3)": "the state of Python's random numbers",
    "torch.set_num_threads(7)": "the number of torch's threads",
    "torch.set_grad_enabled(False)": "whether torch records gradients",
    "torch.set_default_device('meta')": "torch's default device",
    "import os; os.chdir('/')": "the working directory",
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)": "what SIGTERM does",
}


def state():
    return [
        torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(),
        torch.get_default_device(), os.getcwd(), signal.getsignal(signal.SIGTERM),
        torch.get_rng_state().tolist(), random.getstate(), str(numpy.random.get_state()),
    ]  # fmt: skip


@pytest.mark.parametrize(("code", "what"), CHANGES.items(), ids=CHANGES.values())
def test_what_an_import_changes_in_the_process_is_undone_and_breaks_a_law(third_party, code, what):
    third_party(f"import torch\n{code}\n{GOOD}", POINT)
    before = state()
    with pytest.warns(RuntimeWarning, match=f"importing {MINE} changes {what}"):
        plugin = load("tricks", "halve")
    assert state() == before
    with pytest.raises(Broken, match=what):
        import_changes_nothing(plugin())


def test_what_an_import_prints_goes_to_stderr_and_breaks_a_law(third_party, capsys):
    third_party(f"print('hello')\n{GOOD}", POINT)
    plugin = load("tricks", "halve")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "hello\n")
    with pytest.raises(Broken, match="prints to standard output"):
        import_changes_nothing(plugin())


@pytest.mark.parametrize(
    "code", ["os._exit(0)", "os.abort()", "os.kill(os.getpid(), 9)", "sys.exit(0)", "exit()"]
)
def test_an_import_that_ends_the_process_is_an_error_of_the_plugin(third_party, code):
    third_party(f"import os, sys\n{code}\n{GOOD}", POINT)
    ends = r"fails on import: (EndedByImportError: it ends|SystemExit)"
    with pytest.raises(PluginError, match=ends):
        load("tricks", "halve")


def test_a_probe_without_an_answer_is_an_import_that_ends_the_process(third_party):
    third_party("import ctypes; ctypes.CDLL(None)._exit(0)", POINT)
    (broken,) = import_probe.broken_plugins()
    assert broken.reason == "its import ends the process (0)"


def test_a_plugin_that_hangs_on_import_is_broken(third_party, monkeypatch):
    monkeypatch.setattr(import_probe, "LIMIT_SECONDS", 1)
    third_party("import time; time.sleep(60)", POINT)
    assert "takes more than 1 s" in import_probe.broken_plugins()[0].reason


def test_what_was_probed_is_remembered_until_the_file_changes(third_party, monkeypatch):
    third_party(GOOD, POINT)
    assert import_probe.broken_plugins() == ()
    monkeypatch.setattr(import_probe, "_probe", lambda entry: "asked again")
    assert import_probe.broken_plugins() == ()
    file = next(p for p in map(__import__("pathlib").Path, sys.path) if (p / f"{MINE}.py").exists())
    (file / f"{MINE}.py").write_text(GOOD + "\n# changed\n")
    assert [b.reason for b in import_probe.broken_plugins()] == ["asked again"]


def test_malformed_metadata_anywhere_does_not_stop_discovery(third_party):
    third_party(None, "[rnnbench.tricks\nhalve == = broken\n")
    plugins, _ = discover()
    assert "lstm" in plugins["architectures"]


def test_a_name_clash_is_reported_and_ours_wins(third_party):
    third_party(GOOD, f"[rnnbench.tricks]\nclip = {MINE}:Halve\n")
    _, broken = discover()
    assert entry("tricks", "clip").distribution == "rnnbench"
    assert [(b.name, b.distribution) for b in broken] == [("clip", "thirdparty")]
    assert "taken by rnnbench" in broken[0].reason


def test_plugins_can_be_left_out_by_name_and_by_distribution(third_party, monkeypatch):
    third_party(GOOD, POINT)
    monkeypatch.setenv("RNNBENCH_DISABLE_PLUGINS", "zoneout,thirdparty")
    discover.cache_clear()
    assert not {"zoneout", "halve"} & set(discover()[0]["tricks"])


def test_an_allow_list_keeps_strangers_out(third_party, monkeypatch):
    third_party(GOOD, POINT)
    monkeypatch.setenv("RNNBENCH_ALLOW_PLUGINS", "somebody-else")
    discover.cache_clear()
    assert "halve" not in discover()[0]["tricks"]
    assert "zoneout" in discover()[0]["tricks"]


def test_a_spec_of_another_plugin_version_is_not_run_as_this_one():
    from rnnbench.spec.instantiate import create
    from rnnbench.spec.run_spec import PluginSpec

    with pytest.raises(PluginError, match="made with version 7"):
        create("tricks", PluginSpec("clip", 7))


def test_what_is_read_from_source_is_what_the_classes_say():
    plugins, _ = discover()
    for kind in KINDS:
        for item in plugins[kind].values():
            from_source = read_source(item)
            assert from_source is not None, f"{item.name} is not plain enough to read"
            assert from_source == read_class(kind, item.name, load(kind, item.name)), item.name


def test_every_plugin_has_help_for_itself_and_for_its_fields_and_a_source():
    plugins, _ = discover()
    for kind in KINDS:
        for name in plugins[kind]:
            found = schema(kind, name)
            assert found.help.endswith("."), name
            assert found.source, f"{name} names no paper or origin"
            for field in found.fields.values():
                assert field.help, f"{name}.{field.name} has no help"


def test_a_plugin_that_is_not_plain_is_imported_instead(third_party):
    computed = GOOD.replace("setting(0.5,", "setting(1 / 2,")
    third_party(computed, POINT)
    assert read_source(entry("tricks", "halve")) is None
    assert schema("tricks", "halve").fields["share"].default == 0.5


HEAVY = ("torch", "pytorch_lightning", "optuna", "ray", "wandb", "numpy", "pandas", "sqlalchemy")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["list"],
        ["list", "tricks", "--site", "cell"],
        ["describe", "zoneout"],
        ["version"],
        ["run", "x", "lstm"],
    ],
)
def test_the_command_line_starts_without_heavy_libraries(arguments):
    code = (
        "import sys\nfrom rnnbench.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        f"print('HEAVY', [m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"
