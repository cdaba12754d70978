"""Who may import whom: read from the source, so that no import is too rare to be seen."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rnnbench

CORE = Path(rnnbench.__file__).parent
PLUGINS = CORE.parent / "plugins"
OPEN_TO_PLUGINS = ("rnnbench.contract", "rnnbench.nn", "rnnbench.data")
ONLY = {
    "pytorch_lightning": {"training.py"},
    "optuna": {
        f"sweep/{n}.py" for n in ("study", "copies", "memory", "pruning", "sampling", "importance")
    },
    "ray": {f"sweep/{n}.py" for n in ("ray", "head", "seat", "nodes", "submit")}
    | {"benchmarks/trials.py"},
    "wandb": {"telemetry.py", "wandb_run.py"},
    "click": {
        f"cli/{n}.py"
        for n in ("root", "runs", "sweeps", "plugins", "results", "clusters", "site", "sharing")
    },
}
TORCH_FREE = (
    "spec",
    "settings",
    "record",
    "stats",
    "leaderboard",
    "store",
    "registry",
    "source",
    "compose",
    "request",
    "cli",
    "provenance",
    "atomic",
    "scaffold",
    "report.reference",
    "report.check_plugin",
    "stopping",
    "report.html",
    "report.terminal",
    "report.export",
    "report.plugins",
    "report.command",
    "report.figures",
    "report.wording",
    "index",
    "database",
    "board",
    "rows",
    "grouping",
    "attribution",
    "report.attribution",
    "verdicts",
    "across",
    "effort",
    "pareto",
    "items",
    "report.claims",
    "report.sections",
    "protocol",
    "remote",
    "yamltext",
    "literature",
    "reproduce",
    "finding",
    "sharing.origin",
    "sharing.bundle",
    "sharing.unpack",
    "report.sharing",
    "report.runs_table",
    "wandb_run",
    "serve",
    "report.site.gather",
    "report.site.pages",
    "report.site.writer",
    "report.site.statistics",
)


def imports(path):
    """Modules that a file imports anywhere, those for type checkers left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module


def files(root):
    return sorted(root.rglob("*.py"))


@pytest.mark.parametrize("library", ONLY)
def test_a_library_has_one_door(library):
    users = {
        str(f.relative_to(CORE))
        for f in files(CORE)
        for m in imports(f)
        if m.split(".")[0] == library
    }
    assert users <= ONLY[library]


def test_the_contract_imports_torch_and_settings_only():
    allowed = set(sys.stdlib_module_names) | {"torch"}
    for file in files(CORE / "contract"):
        for module in imports(file):
            ours = module == "rnnbench.settings" or module.startswith("rnnbench.contract.")
            assert module.split(".")[0] in allowed or ours, f"{file.name} imports {module}"


def test_plugins_import_the_contract_and_building_blocks_and_never_each_other():
    for file in files(PLUGINS):
        if "examples" in file.parts:
            continue
        for module in imports(file):
            if module.startswith("rnnbench"):
                assert module.startswith(OPEN_TO_PLUGINS), f"{file.name} imports {module}"


def test_core_names_no_plugin():
    for file in files(CORE):
        for module in imports(file):
            assert not module.startswith("rnnbench_"), f"{file} imports {module}"


def test_nobody_imports_the_command_line():
    users = {
        f.name
        for f in files(CORE)
        for m in imports(f)
        if m.startswith("rnnbench.cli") and f.parent.name != "cli"
    }
    assert users == {"__main__.py"}


def test_what_ranks_and_reads_needs_no_torch():
    code = "import sys\n" + "".join(f"import rnnbench.{m}\n" for m in TORCH_FREE)
    code += (
        "print([m for m in ('torch', 'pytorch_lightning', 'optuna', 'ray') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_file_is_longer_than_one_sitting():
    long = {
        str(f): n
        for root in (CORE, PLUGINS)
        for f in files(root)
        if (n := len(f.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}
