"""Who may import whom: read from the source, so that no import is too rare to be seen.

An import counts wherever it stands: at the top of a file, within a function, or for type checkers.
"""

import ast
import functools
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from rnnbench.docs.rooms import (
    CORE,
    PURPOSE,
    circles,
    files,
    module_files,
    module_graph,
    room,
    room_graph,
)
from rnnbench.docs.rooms import floors as floors_of
from rnnbench.docs.rooms import imports as imports_of

PLUGINS = CORE.parent / "plugins"
OPEN_TO_PLUGINS = tuple(
    f"rnnbench.{room}" for room in ("contract", "nn", "metrics", "data", "errors")
)

# Floors, the lowest first: a room imports from floors below its own, and never from above.
FLOORS = (
    ("errors", "moved"),
    ("files",),
    ("contract",),
    ("registry",),
    ("spec",),
    ("nn",),
    ("metrics",),
    ("data",),
    ("stats",),
    ("results",),
    ("leaderboard",),
    ("training",),
    ("trained",),
    ("sweep",),
    ("report", "testing"),
    ("benchmarks", "docs"),
    ("session",),
    ("cli",),
    ("__main__",),
)

# The only places that know a library: all else goes through them.
DOORS = {
    "pytorch_lightning": {"training/lightning_module.py"},
    "optuna": {"sweep/search/"},
    "ray": {
        "sweep/engines/ray.py",
        "sweep/engines/ray_actor.py",
        "sweep/cluster/connection.py",
        "sweep/cluster/ray_output.py",
        "sweep/cluster/wait_for_nodes.py",
        "sweep/cluster/ask_nodes.py",
        "sweep/cluster/submit.py",
        "benchmarks/trials.py",
    },
    "submitit": {"sweep/engines/slurm_jobs.py", "sweep/engines/slurm_seat.py"},
    "wandb": {"training/logs.py", "training/wandb_run.py"},
    "click": {"cli/"},
    "alembic": {"results/database.py"},
    "sqlalchemy": {"results/", "sweep/", "report/site/", "cli/actions/sweep_control.py"},
}

# What reads, ranks and reports needs no torch: a laptop can do it.
TORCH_FREE = (
    "errors", "files", "contract", "registry", "spec", "stats", "leaderboard", "cli", "results",
    "report", "session",
)  # fmt: skip
# These commands train, or propose trials, so they may.
HEAVY = {
    "rnnbench.cli.actions.run",
    "rnnbench.cli.actions.sweep",
    "rnnbench.cli.actions.sweep_control",
    "rnnbench.cli.actions.sweep_extend",
    "rnnbench.cli.actions.sweep_list",
    "rnnbench.cli.actions.supervise",
    "rnnbench.report.terminal.sweep_progress",
    "rnnbench.session.finish",
}
LINES = 350
MODULES = 20


MODULE_FILES = module_files()


@functools.cache
def imports(path):
    return tuple(imports_of(path, MODULE_FILES))


@pytest.fixture(scope="module")
def graph():
    return module_graph()


def test_circles_are_seen():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]


def test_no_module_imports_itself_through_others(graph):
    assert circles(graph) == []


def test_imports_go_downwards_only(graph):
    floor = {name: i for i, names in enumerate(FLOORS) for name in names}
    upwards = [
        f"{module} imports {other}"
        for module, others in graph.items()
        for other in others
        if room(module) != room(other) and room(module) and room(other)
        if floor[room(module)] <= floor[room(other)]
    ]
    assert upwards == []


def test_every_room_has_its_floor():
    rooms = {room(m) for m in MODULE_FILES} - {""}
    assert rooms == {name for names in FLOORS for name in names}


def test_every_room_says_what_it_is_for():
    assert set(PURPOSE) == {room(m) for m in MODULE_FILES} - {""}


def test_a_room_stands_right_above_the_highest_that_it_imports():
    assert floors_of({"a": {"b", "c"}, "b": {"c"}, "c": set(), "d": set()}) == [
        ["c", "d"], ["b"], ["a"],
    ]  # fmt: skip
    with pytest.raises(ValueError, match="circle"):
        floors_of({"a": {"b"}, "b": {"a"}})


def test_every_kind_of_import_is_an_arrow(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        "import a.b\nfrom c import d, e\ndef f():\n    from g import h\n"
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import i\n"
    )
    assert set(imports_of(file, {"c.d"})) == {"a.b", "c.d", "c", "g", "typing", "i"}
    assert room_graph({"p.x.y": {"p.z", "p.x", "p"}, "p.z": set()}) == {"x": {"z"}, "z": set()}
    file.write_text("from . import near\n")
    with pytest.raises(ValueError, match="absolute"):
        list(imports_of(file, ()))


@pytest.mark.parametrize("library", DOORS)
def test_a_library_has_one_door(library):
    users = {
        str(f.relative_to(CORE))
        for f in files(CORE)
        for m in imports(f)
        if m.split(".")[0] == library
    }
    assert users
    assert [u for u in sorted(users) if not u.startswith(tuple(DOORS[library]))] == []


def test_the_contract_imports_torch_and_errors_only():
    allowed = set(sys.stdlib_module_names) | {"torch"}
    for file in files(CORE / "contract"):
        for module in imports(file):
            ours = module.startswith(("rnnbench.errors", "rnnbench.moved", "rnnbench.contract"))
            assert module.split(".")[0] in allowed or ours, f"{file.name} imports {module}"


def test_plugins_import_the_contract_and_building_blocks_and_never_each_other():
    """A family's shared parts stand in an underscore module of its own package."""
    for file in files(PLUGINS):
        if "examples" in file.parts:
            continue
        for module in imports(file):
            if module.startswith("rnnbench."):
                assert module.startswith(OPEN_TO_PLUGINS), f"{file.name} imports {module}"
            elif module.startswith("rnnbench_"):
                shared = module.startswith(f"{file.parent.name}._")
                assert shared, f"{file.name} imports {module}"


def test_core_names_no_plugin():
    for file in files(CORE):
        for module in imports(file):
            assert not module.startswith("rnnbench_"), f"{file} imports {module}"


def test_what_ranks_and_reads_needs_no_torch():
    modules = [
        m for m in MODULE_FILES
        if room(m) in TORCH_FREE and room(m) != "contract" and m not in HEAVY
    ]  # fmt: skip
    heavy = ("torch", "pytorch_lightning", "optuna", "ray")
    code = "import sys, rnnbench.contract\n" + "".join(f"import {m}\n" for m in modules)
    code += f"print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_public_class_has_its_name_for_itself():
    homes = defaultdict(list)
    for module, file in MODULE_FILES.items():
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(module)
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


def test_no_file_is_longer_than_one_sitting():
    roots = (CORE, PLUGINS, Path(__file__).parent.parent)
    long = {
        str(f): n
        for root in roots
        for f in files(root)
        if (n := len(f.read_text(encoding="utf-8").splitlines())) > LINES
    }
    assert long == {}


def test_no_folder_holds_more_modules_than_one_can_oversee():
    """Plugins stand one a file beside each other, and tests of plugins beside them."""
    counts = Counter(
        f.parent
        for root in (CORE, Path(__file__).parent.parent)
        for f in files(root)
        if f.name != "__init__.py" and "plugins" not in f.relative_to(root).parts
    )
    assert {str(folder): n for folder, n in counts.items() if n > MODULES} == {}
