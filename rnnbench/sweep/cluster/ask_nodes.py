"""Asks every node of a Ray cluster for a report (`compare_nodes` compares them).

Each node gets one small actor, which takes no CPU from trials. It writes a file to the folder of
results that all others must be able to read; the files are removed at the end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import os
import platform
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import rnnbench
from rnnbench.sweep.cluster.compare_nodes import NodeReport, compare
from rnnbench.sweep.cluster.connection import RayConnection

ANSWER_SECONDS = 90.0  # for all nodes: a first import may come from a slow disk
SEEN_SECONDS = 10.0  # for a file to appear on another node: NFS keeps listings for a while
REMOVALS = 20  # attempts to remove the folder, while other nodes remove the same files
TICKS = 5  # readings of a clock, of which the quickest counts


def check_cluster(
    connection: RayConnection, root: str | Path, say: Callable[[str], None] = print
) -> list[str]:
    """Compare all nodes before the first trial; return a line for each problem.

    Args:
        root: the results: a folder, or a URL that fsspec knows.
        say: prints a line with the number of nodes and of problems.
    """
    driver, nodes = ask_nodes(connection, root)
    problems = compare(driver, nodes)
    say(f"cluster check: {len(nodes)} nodes, {len(problems)} problems")
    return problems


def ask_nodes(
    connection: RayConnection, root: str | Path, patience: float = ANSWER_SECONDS
) -> tuple[NodeReport, list[NodeReport]]:
    """Return the report of this process, and those of all nodes in the order of their names.

    Args:
        root: the results: a folder, or a URL that fsspec knows.
        patience: seconds for all nodes to answer.
    """
    place = f"{str(root).rstrip('/')}/.cluster-check-{secrets.token_hex(6)}"
    if "://" not in place:
        place = str(Path(place).absolute())
    resources = connection.nodes()
    names = {node: connection.name(node) for node in sorted(resources, key=connection.name)}
    actors: dict[str, Any] = {
        node: ray.remote(NodeProbe)
        .options(
            num_cpus=0,
            max_restarts=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        )
        .remote()
        for node in names
    }
    own_probe = NodeProbe()
    failed: dict[str, str] = {}
    deadline = time.monotonic() + patience
    try:
        reports = _ask(actors, failed, deadline, "report")
        clocks = _read_clocks({node: actors[node] for node in reports}, failed)
        wrote = _ask(actors, failed, deadline, "write", place)
        writers = [node for node, fault in wrote.items() if not fault]
        unseen = _ask(actors, failed, deadline, "unseen", place, writers)
        unseen_here = own_probe.unseen(place, writers)
    finally:
        _ask(actors, {}, time.monotonic() + SEEN_SECONDS, "clean", place)
        own_probe.clean(place)
        for actor in actors.values():
            ray.kill(actor)
    node_reports = []
    for node, name in names.items():
        if node in failed:
            node_reports.append(NodeReport(name, error=failed[node]))
            continue
        node_reports.append(
            dataclasses.replace(
                reports[node],
                name=name,
                cpus_ray=resources[node].get("CPU", 0.0),
                gpus_ray=resources[node].get("GPU", 0.0),
                clock=clocks[node],
                storage=wrote[node],
                unseen=tuple(names[other] for other in unseen[node]),
            )
        )
    unseen_names = tuple(names[other] for other in unseen_here)
    return dataclasses.replace(own_probe.report(), unseen=unseen_names), node_reports


def _ask(
    actors: dict[str, Any], failed: dict[str, str], deadline: float, method: str, *arguments: Any
) -> dict[str, Any]:
    """Call a method of each probe that has not failed; return the answers by node.

    Args:
        failed: why a node failed, by node; nodes that fail now are added.
    """
    references = {
        node: getattr(actor, method).remote(*arguments)
        for node, actor in actors.items()
        if node not in failed
    }
    answers = {}
    for node, reference in references.items():
        try:
            answers[node] = ray.get(reference, timeout=max(0.1, deadline - time.monotonic()))
        except GetTimeoutError:
            failed[node] = "does not answer: look at `ray status` and at the node, or remove it"
        except RayError as error:
            failed[node] = _explain(error)
    return answers


def _explain(error: RayError) -> str:
    """Return a line for the user that says why a node cannot be asked."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if any("No module named 'rnnbench'" in line for line in lines):
        return (
            "has no rnnbench: install it there (pip install -c cluster/constraints.txt), or send "
            "the working tree along (rnnbench submit)"
        )
    return f"cannot be asked: {lines[-1] if lines else type(error).__name__}"


def _read_clocks(actors: dict[str, Any], failed: dict[str, str]) -> dict[str, tuple[float, float]]:
    """Read the clock of each node, see `_read_clock`; nodes that fail are added to `failed`."""
    clocks = {}
    for node, actor in actors.items():
        try:
            clocks[node] = _read_clock(actor)
        except (RayError, GetTimeoutError) as error:
            failed[node] = _explain(error)
    return clocks


def _read_clock(actor: Any) -> tuple[float, float]:
    """Return the seconds that the actor's clock is ahead of this one, and the error of that.

    The answer was given somewhere between question and arrival; the shortest such time counts.
    """
    best = (0.0, float("inf"))
    for _ in range(TICKS):
        asked_at = time.time()
        their_time = ray.get(actor.now.remote(), timeout=ANSWER_SECONDS)
        unsure = (time.time() - asked_at) / 2
        if unsure < best[1]:
            best = (their_time - asked_at - unsure, unsure)
    return best


class NodeProbe:
    """An actor on a node that reports its software, its machine and its view of the results."""

    def __init__(self) -> None:
        self._made_root = ""  # the folder of results, where it was not there before

    def now(self) -> float:
        """Return the time by this node's clock."""
        return time.time()

    def report(self) -> NodeReport:
        """Return the report of this node, as far as it can tell by itself."""
        gpus, driver, cuda = _find_gpus()
        disk = shutil.disk_usage(_temporary_folder())
        return NodeReport(
            name="driver",
            versions={"python": platform.python_version(), **_versions()},
            code=_tree_hash(Path(rnnbench.__file__).parent),
            plugins=_hash_plugins(),
            gpus=gpus,
            driver=driver,
            cuda=cuda,
            cpus=os.cpu_count() or 0,
            disk_free=disk.free,
            disk_total=disk.total,
            threads=os.environ.get("OMP_NUM_THREADS"),
        )

    def write(self, place: str) -> str:
        """Write this node's file; return what is wrong, or ""."""
        try:
            files, folder = _storage(place)
            root = folder.rpartition("/")[0]
            if not files.exists(root):
                self._made_root = root
            files.makedirs(folder, exist_ok=True)
            node = ray.get_runtime_context().get_node_id()
            with files.open(f"{folder}/{node}", "w") as file:
                file.write(node)
        except (OSError, ValueError, ImportError) as error:
            return f"cannot write to the folder of results: {type(error).__name__}: {error}"
        return ""

    def unseen(self, place: str, nodes: list[str]) -> list[str]:
        """Return the nodes whose file is not here, after waiting for it a while."""
        deadline = time.monotonic() + SEEN_SECONDS
        while True:
            missing = [node for node in nodes if not self._sees(place, node)]
            if not missing or time.monotonic() > deadline:
                return missing
            time.sleep(0.5)

    def _sees(self, place: str, node: str) -> bool:
        try:
            files, folder = _storage(place)
            files.invalidate_cache()
            with files.open(f"{folder}/{node}", "r") as file:
                return bool(file.read() == node)
        except (OSError, ValueError, ImportError):
            return False

    def clean(self, place: str) -> None:
        """Remove the folder as far as this node sees it; others may be doing the same."""
        with contextlib.suppress(OSError, ValueError, ImportError):
            files, folder = _storage(place)
            for _ in range(REMOVALS):
                if not files.exists(folder):
                    break
                with contextlib.suppress(FileNotFoundError):  # another node was there first
                    files.rm(folder, recursive=True)
            if self._made_root:
                files.rmdir(self._made_root)  # which fails where something was put there meanwhile


def _storage(place: str) -> tuple[Any, str]:
    """Return the file system of a folder or URL, and the path in it."""
    import fsspec

    files, folder = fsspec.core.url_to_fs(place)
    return files, folder


def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for package in ("ray", "torch", "rnnbench"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def _tree_hash(folder: Path) -> str:
    """Return the sha256 of all Python source below a folder, names included."""
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        total.update(f"{file.relative_to(folder).as_posix()}\0".encode())
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def _hash_plugins() -> dict[str, str]:
    """Return "distribution version sha256" of each plugin, by "kind/name"."""
    from rnnbench.registry.registry import discover
    from rnnbench.registry.schema_from_source import file_of

    code_by_name = {}
    for kind, plugins in discover()[0].items():
        for name, item in plugins.items():
            file = file_of(item)
            code = hashlib.sha256(file.read_bytes()).hexdigest() if file else "no source"
            code_by_name[f"{kind}/{name}"] = f"{item.distribution} {item.version} {code}"
    return code_by_name


def _find_gpus() -> tuple[tuple[str, ...], str | None, str | None]:
    """Return the names of this machine's GPUs, and the versions of their driver and its CUDA."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver, or none that works
        return (), None, None
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        cuda = pynvml.nvmlSystemGetCudaDriverVersion_v2()
        driver = str(pynvml.nvmlSystemGetDriverVersion())
        names = tuple(str(pynvml.nvmlDeviceGetName(handle)) for handle in handles)
        return names, driver, f"{cuda // 1000}.{cuda % 1000 // 10}"
    finally:
        pynvml.nvmlShutdown()


def _temporary_folder() -> str:
    """Return Ray's temporary folder, or the system's."""
    import tempfile

    from ray._private.worker import global_worker

    node = getattr(global_worker, "node", None)
    folder = node.get_session_dir_path() if node is not None else ""
    return folder if os.path.isdir(folder) else tempfile.gettempdir()
