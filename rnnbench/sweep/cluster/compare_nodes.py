"""Compares the nodes of a cluster before a sweep starts; pure functions of their reports.

A trial may run on any node, and its result counts the same wherever it ran. So all nodes need the
code that the driver has, see its folder of results under one name, and have room.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

VERSIONS = ("python", "ray", "torch", "rnnbench")
CLOCK_SECONDS = 2.0  # more than that between two clocks is a fault
DISK_SHARE = 0.05  # with less free, Ray writes no more to a disk
SHOWN = 5  # plugins that one line names


@dataclass(frozen=True)
class NodeReport:
    """A node's report of its software and its machine; the driver makes one of its own.

    Attributes:
        versions: version of each package; None: it is not installed.
        code: sha256 of the source of rnnbench.
        plugins: "kind/name" -> "distribution version sha256".
        gpus: names of the GPUs that CUDA's driver finds.
        driver, cuda: versions of the GPU driver and of its CUDA; None: there is no GPU.
        cpus: number of CPUs of the machine.
        cpus_ray, gpus_ray: numbers of CPUs and GPUs that Ray gives to trials.
        disk_free, disk_total: bytes of the disk of Ray's temporary folder.
        threads: OMP_NUM_THREADS as a process on this node finds it.
        clock: seconds that this clock is ahead of the driver's, and the error of that.
        unseen: nodes whose file in the folder of results this one does not see.
        storage: what is wrong with the folder of results here; "": nothing.
        error: why there is no report; "": there is one.
    """

    name: str
    versions: dict[str, str | None] = field(default_factory=dict)
    code: str = ""
    plugins: dict[str, str] = field(default_factory=dict)
    gpus: tuple[str, ...] = ()
    driver: str | None = None
    cuda: str | None = None
    cpus: int = 0
    cpus_ray: float = 0.0
    gpus_ray: float = 0.0
    disk_free: int = 0
    disk_total: int = 0
    threads: str | None = None
    clock: tuple[float, float] = (0.0, 0.0)
    unseen: tuple[str, ...] = ()
    storage: str = ""
    error: str = ""


def compare(driver: NodeReport, nodes: Sequence[NodeReport]) -> list[str]:
    """Return a line for each problem, with what to do; [] where a sweep can start."""
    problems: list[str] = []
    for node in nodes:
        if node.error:
            problems.append(f"{node.name}: {node.error}")
            continue
        problems += [f"{node.name}: {line}" for line in _compare_code(driver, node)]
        problems += [f"{node.name}: {line}" for line in _check_machine(node)]
        problems += [f"{node.name}: {line}" for line in _check_storage(node)]
    problems += [f"the driver: {line}" for line in _check_storage(driver)]
    answered = [node for node in nodes if not node.error]
    if len({node.threads for node in answered}) > 1:
        problems.append(
            "OMP_NUM_THREADS differs: "
            + ", ".join(f"{node.name} {node.threads or 'unset'}" for node in answered)
            + "; the last digits of results may depend on it. Set it alike where Ray is started."
        )
    return problems


def lacks_cpus(nodes: Sequence[NodeReport]) -> list[str]:
    """Return a line where no node has a CPU for a trial; [] where one has.

    It keeps no sweep from starting, since machines may come on demand.
    """
    if sum(node.cpus_ray for node in nodes) > 0:
        return []
    return [
        "the cluster has no CPU for trials: join a worker to it (on another machine: ray start "
        "--address HEAD:6379), or start Ray without --num-cpus=0. Where machines come on demand, "
        "start the sweep, and check again when the first is there."
    ]


def _compare_code(driver: NodeReport, node: NodeReport) -> list[str]:
    problems = []
    for name in VERSIONS:
        expected, actual = driver.versions.get(name), node.versions.get(name)
        if expected != actual:
            what = f"has {name} {actual}" if actual else f"has no {name}"
            problems.append(
                f"{what}, the driver {expected or 'none'}: install the same there "
                "(pip install -c cluster/constraints.txt), or use one image for all nodes"
            )
    same_version = driver.versions.get("rnnbench") == node.versions.get("rnnbench")
    if driver.code != node.code and same_version:
        problems.append(
            "has the same version of rnnbench and other code: install the same commit there, or "
            "send the working tree along (rnnbench submit)"
        )
    missing = sorted(driver.plugins.keys() - node.plugins.keys())
    other = sorted(
        name for name in driver.plugins.keys() & node.plugins.keys()
        if driver.plugins[name] != node.plugins[name]
    )  # fmt: skip
    for names, what in ((missing, "lacks"), (other, "has other code of")):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            problems.append(
                f"{what} {', '.join(names[:SHOWN])}{more}: install the driver's version of the "
                "plugin there, or send it along (rnnbench submit --plugin PATH)"
            )
    return problems


def _check_machine(node: NodeReport) -> list[str]:
    problems = []
    if node.gpus_ray > len(node.gpus):
        problems.append(
            f"Ray gives out {node.gpus_ray:g} GPUs, and the machine shows {len(node.gpus)}: look "
            "at `nvidia-smi` there, and start Ray without --num-gpus"
        )
    ahead, unsure = node.clock
    if abs(ahead) - unsure > CLOCK_SECONDS:
        problems.append(
            f"its clock is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} the "
            "driver's, so times in its results are wrong: turn on time synchronisation there "
            "(chrony, or systemd-timesyncd)"
        )
    if node.disk_total and node.disk_free < DISK_SHARE * node.disk_total:
        problems.append(
            f"{node.disk_free / 2**30:.1f} of {node.disk_total / 2**30:.1f} GiB are free in Ray's "
            f"temporary folder, and Ray needs {DISK_SHARE:.0%}: make room there, or start Ray "
            "with --temp-dir on a larger disk"
        )
    return problems


def _check_storage(node: NodeReport) -> list[str]:
    if node.storage:
        return [f"{node.storage}: mount the same storage on every node under one name (--out)"]
    if node.unseen:
        return [
            f"does not see in the folder of results what was written by {', '.join(node.unseen)}: "
            "--out must be storage that all nodes share, under one name (NFS, or a URL)"
        ]
    return []


def table(driver: NodeReport, nodes: Sequence[NodeReport]) -> list[list[str]]:
    """Return rows of text, the heading first.

    A cell that differs from the driver's ends with " *".
    """
    rows = [["", "driver", *(node.name for node in nodes)]]

    def row(name: str, text_of: Callable[[NodeReport], str], *, compared: bool = True) -> None:
        expected = text_of(driver)
        cells = []
        for node in nodes:
            actual = "?" if node.error else text_of(node)
            cells.append(f"{actual} *" if compared and actual != expected else actual)
        rows.append([name, expected, *cells])

    for package in VERSIONS:
        row(package, lambda r, p=package: r.versions.get(p) or "-")  # type: ignore[misc]
    row("code", lambda r: r.code[:8] or "-")
    row("plugins", lambda r: f"{len(r.plugins)} ({_digest(r.plugins)})")
    row("GPUs", lambda r: _count_names(r.gpus), compared=False)
    row("GPU driver", lambda r: r.driver or "-", compared=False)
    row("CUDA", lambda r: r.cuda or "-", compared=False)
    row("CPUs", lambda r: str(r.cpus), compared=False)
    row("Ray's", lambda r: f"{r.cpus_ray:g} CPU, {r.gpus_ray:g} GPU", compared=False)
    row("disk free", lambda r: f"{r.disk_free / 2**30:.1f} GiB", compared=False)
    row("threads", lambda r: r.threads or "-", compared=False)
    row("clock", lambda r: f"{r.clock[0]:+.3f} s ±{r.clock[1]:.3f}", compared=False)
    row("storage", lambda r: r.storage or (f"unseen: {len(r.unseen)}" if r.unseen else "shared"))
    return rows


def _digest(plugins: dict[str, str]) -> str:
    """Return a short text that differs where the plugins do."""
    import hashlib

    return hashlib.sha256(repr(sorted(plugins.items())).encode()).hexdigest()[:6]


def _count_names(names: Sequence[str]) -> str:
    """Return how often each name occurs, such as "2 H100"."""
    return ", ".join(f"{names.count(n)} {n}" for n in sorted(set(names))) or "-"
