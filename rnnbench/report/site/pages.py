"""Renders the pages of the site, by their paths. The static site and the live server share them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from rnnbench.leaderboard.across_tasks import across
from rnnbench.leaderboard.differing import what_differs
from rnnbench.leaderboard.trick_effects import attribute
from rnnbench.leaderboard.types import Board, Row
from rnnbench.registry.published_results import Published
from rnnbench.report.page.page import asset, content_hash, environment
from rnnbench.report.site import names, packing, plots, statistics
from rnnbench.report.site.charts import Chart
from rnnbench.report.site.gather import Gathered, by_configuration
from rnnbench.report.site.sweeps import STATES, SweepView
from rnnbench.results.provenance import redact
from rnnbench.results.record import FAILED, Record, Status

SIGNS = {
    "done": "●", "pruned": "◐", "failed": "✕", "running": "◌", "planned": "·", "refused": "⊘",
}  # fmt: skip
MOST_CHIPS = 60  # trials of a cell that are shown one by one
FEW_BOARDS = 8  # so many have two sentences each in the overview
BESIDE = 8  # published results in the table of measured ones
DRAWN_ROWS = 4  # rows of a board whose examples are drawn


@dataclass(frozen=True)
class Extra:
    """The parts of a board's page that stand beside the board itself.

    Attributes:
        runs: configuration -> (seed, address, status) of its tested runs.
        references: published results that stand beside its rows, the best ones; `more_references`
            counts the others.
        drawn: row -> what its first seed kept to be looked at.
    """

    runs: Mapping[str, Sequence[tuple[int, str, str]]]
    claims: Sequence[str]
    references: Sequence[Published]
    more_references: int
    duels: statistics.Duels | None
    fronts: Sequence[Chart]
    effort: statistics.EffortChart | None
    drawn: Mapping[str, Sequence[Mapping[str, Any]]]


class Site:
    """All pages of what was gathered.

    Args:
        live: the version of the results, where a server shows them; "" on a disk.
        command: how the site was made; it is redacted.
    """

    def __init__(
        self,
        gathered: Gathered,
        *,
        live: str = "",
        command: str = "",
        made: datetime | None = None,
    ) -> None:
        self.gathered, self.live = gathered, live
        self._command = redact(command)
        self._made = (made or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
        self._files = {names.file_name(task): task for task in gathered.tasks}
        self._sweeps = {names.sweep_page(s.name): s for s in gathered.sweeps}
        self._pages = {names.task_page(task): task for task in gathered.tasks}

    @functools.cached_property
    def paths(self) -> list[str]:
        """Paths of every file of the site, relative to its folder."""
        paths = ["index.html", "run.html", *self._pages, *self._sweeps]
        for task in self.gathered.tasks:
            count = len(self.gathered.records_of(task))
            paths.append(packing.runs_file(task))
            paths += [
                packing.plots_file(task, chunk) for chunk in range(-(-count // packing.CHUNK))
            ]
        return paths

    def render(self, path: str) -> str:
        """Return the content of a file of the site.

        Raises:
            KeyError: the site has no such file.
        """
        if path == "index.html":
            return self._index_page()
        if path == "run.html":
            return self._run_page()
        if path in self._pages:
            return self._task_page(self._pages[path])
        if path in self._sweeps:
            return self._sweep_page(self._sweeps[path])
        return self._data_file(path)

    # ------------------------------------------------------------------------------- the pages

    def _render_page(self, template: str, path: str, title: str, /, **values: Any) -> str:
        style = _style_text()
        scripts = [_script_text("page.js")] + ([_script_text("site/live.js")] if self.live else [])
        script = "\n".join(scripts)
        run = _script_text("site/run.js") if path == "run.html" else ""
        allowed = [content_hash(script)] + ([content_hash(run)] if run else [])
        sources = " ".join(f"'{h}'" for h in allowed) + (" 'strict-dynamic'" if run else "")
        policy = [
            "default-src 'none'",
            f"style-src '{content_hash(style)}'",
            f"script-src {sources}",
            *(["connect-src 'self'"] if self.live else []),
            "base-uri 'none'",
            "form-action 'none'",
        ]
        return environment().get_template(f"site/{template}").render(
            title=title, path=path, root="../" * path.count("/"), live=self.live,
            made=self._made, command=self._command, policy="; ".join(policy),
            style=Markup(style), script=Markup(script), run_script=Markup(run),
            names=names, plots=plots, statistics=statistics, states=STATES, signs=SIGNS,
            **values,
        )  # fmt: skip

    def _index_page(self) -> str:
        gathered = self.gathered
        counts = {
            "runs": len(gathered.records),
            "done": sum(r.status is Status.DONE for r in gathered.records),
            "failed": sum(r.status in FAILED for r in gathered.records),
            "pruned": sum(r.status is Status.PRUNED for r in gathered.records),
        }
        lines = [_overview_line(board, gathered.boards_of(board.task)) for board in gathered.boards]
        each = 2 if len(gathered.boards) <= FEW_BOARDS else 1
        sayings = [(b, claim) for b in gathered.boards for claim in statistics.claims(b)[:each]]
        return self._render_page(
            "index.html.j2", "index.html", "Leaderboards", tasks=gathered.tasks, counts=counts,
            lines=lines, sayings=sayings, across=across(gathered.boards),
            sweeps=gathered.sweeps, damaged=gathered.damaged,
        )  # fmt: skip

    def _task_page(self, task: str) -> str:
        boards, refused = self.gathered.boards_of(task), self.gathered.refused_of(task)
        listed = self.gathered.literature.get(task, ())
        results = () if isinstance(listed, str) else listed
        runs = by_configuration(self.gathered.records_of(task))
        return self._render_page(
            "task.html.j2", names.task_page(task), task, task=task, boards=boards,
            about=self.gathered.about.get(task, ""),
            differs=[differs(board, boards) for board in boards],
            attributions=[attribute(board, refused) for board in boards],
            extras=[self._beside_board(board, runs, results) for board in boards],
            refused=[{**r, "tricks": _join_tricks(r["tricks"])} for r in refused],
            published=results,
            wrong=listed if isinstance(listed, str) else "",
        )  # fmt: skip

    def _beside_board(
        self, board: Board, runs: Mapping[str, Sequence[Record]], listed: Sequence[Published]
    ) -> Extra:
        ranked = [row for row in board.rows if row.kind == "ranked"]
        runs_by_config = {row.config_id: runs.get(row.config_id or "", ()) for row in ranked}
        linked = {
            config: [
                (r.spec.seed, f"../{names.run_link(board.task, r.run_id)}", r.status.value)
                for r in runs_here
            ]
            for config, runs_here in runs_by_config.items()
            if config and runs_here
        }
        settings, higher = self._settings_of(board), bool(board.headline.get("higher_is_better"))
        beside = [
            p for p in listed
            if p.metric == board.headline.get("name") and p.belongs(settings)
        ]  # fmt: skip
        beside.sort(key=lambda p: -p.value if higher else p.value)
        drawn = {}
        for row in ranked[:DRAWN_ROWS]:
            first = next(
                (r for r in runs_by_config[row.config_id] if r.status is Status.DONE), None
            )
            kept = self.gathered.examples(first.run_id) if first else ()
            if kept:
                drawn[row.name] = kept
        return Extra(
            runs=linked,
            claims=statistics.claims(board, self.gathered.items),
            references=beside[:BESIDE],
            more_references=len(beside[BESIDE:]),
            duels=statistics.duels(board),
            fronts=statistics.pareto_charts(board),
            effort=statistics.effort(board),
            drawn=drawn,
        )

    def _settings_of(self, board: Board) -> Mapping[str, Any]:
        """Return the task's settings, which a board holds equal."""
        of_task = self.gathered.records_of(board.task)
        spec = next((r.spec for r in of_task if r.spec.protocol_id == board.protocol_id), None)
        return {} if spec is None else dict(spec.task.settings)

    def _run_page(self) -> str:
        files = {name: [task, names.task_page(task)] for name, task in self._files.items()}
        return self._render_page("run.html.j2", "run.html", "Runs", files=packing.as_json(files))

    def _sweep_page(self, view: SweepView) -> str:
        failed = [t for cell in view.cells for t in cell.trials if t.state == "failed"]
        mattered = [cell for cell in self.gathered.mattered(view.name) if cell.shares]
        return self._render_page(
            "sweep.html.j2", names.sweep_page(view.name), f"Sweep {view.name}", sweep=view,
            known=set(self.gathered.tasks), limit=MOST_CHIPS, failed=failed, mattered=mattered,
            settings=names.unique(name for cell in mattered for name, _ in cell.shares),
            runs={r.run_id for r in self.gathered.records},
        )  # fmt: skip

    # -------------------------------------------------------------------------------- the data

    def _data_file(self, path: str) -> str:
        for task in self.gathered.tasks:
            records = self.gathered.records_of(task)
            if path == packing.runs_file(task):
                return packing.pack_runs(task, records)
            for chunk in range(-(-len(records) // packing.CHUNK)):
                if path == packing.plots_file(task, chunk):
                    in_chunk = records[chunk * packing.CHUNK : (chunk + 1) * packing.CHUNK]
                    return packing.as_script({r.run_id: self._figures_of(r) for r in in_chunk})
        raise KeyError(path)

    def _figures_of(self, record: Record) -> str:
        """Return what is drawn of a run, as HTML."""
        template = environment().get_template("site/run_figures.html.j2")
        return template.render(
            charts=plots.run_curves(record.curve, [m["name"] for m in record.metric_info]),
            examples=record.examples,
            drawn=self.gathered.examples(record.run_id) if record.spec.test else (),
            plots=plots,
        )  # fmt: skip


def _overview_line(board: Board, of_task: Sequence[Board]) -> dict[str, Any]:
    """Return a board's line in the overview."""
    first: list[Row] = [row for row in board.rows if row.contender]
    rows = [row for row in board.rows if row.kind != "baseline"]
    told = differs(board, of_task) if len(of_task) > 1 else ""
    return {
        "board": board,
        "differs": "" if told == board.data_set else told,  # the title says it
        "metric": board.headline.get("name", ""),
        "first": first,
        "ranked": len(board.ranked),
        "rows": len(rows),
        "runs": sum(row.runs for row in rows),
        "failed": sum(row.failed for row in rows),
    }


def differs(board: Board, boards: Sequence[Board]) -> str:
    """Say how a board's protocol differs from the task's other boards; its id where it does not.

    Its data set's name comes first, and says all where no other board has it.
    """
    if board.data_set and [b.data_set for b in boards].count(board.data_set) == 1:
        return board.data_set
    found = what_differs(boards)
    values = found.values[[b is board for b in boards].index(True)]
    told = [f"{fact}={value}" for fact, value in zip(found.facts, values, strict=True)]
    if board.data_set:
        told.insert(0, board.data_set)
    return "; ".join(told) or board.protocol_id


def _join_tricks(tricks: Any) -> str:
    return tricks if isinstance(tricks, str) else " + ".join(tricks)


@functools.cache
def _style_text() -> str:
    text = asset("page.css") + asset("site/site.css")
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


@functools.cache
def _script_text(name: str) -> str:
    """Return a script without indentation and comments, which every page would carry."""
    lines = (line.strip() for line in asset(name).splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))
