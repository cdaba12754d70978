"""The notebook runs from its first cell to its last, and what its cells end with can be shown."""

import ast
import json

import pytest
from support import ROOT

NOTEBOOK = ROOT / "rnnbench" / "docs" / "guides" / "first-session.ipynb"


def code_cells():
    content = json.loads(NOTEBOOK.read_text("utf-8"))
    return ["".join(c["source"]) for c in content["cells"] if c["cell_type"] == "code"]


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What each cell's last line gives; None where it gives nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("notebook"))
        patch.delenv("RNNBENCH_RESULTS", raising=False)
        namespace, values = {"__name__": "__main__"}, []
        for i, source in enumerate(code_cells()):
            tree = ast.parse(source)
            last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, f"cell {i}", "exec"), namespace)
            values.append(
                last and eval(compile(ast.Expression(last.value), f"cell {i}", "eval"), namespace)
            )
        return values


def test_a_session_of_twenty_lines_trains_compares_predicts_and_plots(shown):
    lines = [line for cell in code_cells() for line in cell.splitlines() if line.strip()]
    assert len(lines) <= 20
    _, _, run, boards, picture, forecast, table = shown
    assert run.status == "done"
    assert "mse" in run.metrics["test"]
    assert [row.kind for row in boards[0].rows].count("ranked") == 2
    assert picture._repr_png_().startswith(b"\x89PNG")
    assert len(forecast) == 7
    assert forecast["sold"].between(30, 70).all()
    assert list(table["seed"]) == [0, 1, 0, 1]


def test_what_a_cell_ends_with_is_shown_as_a_table(shown):
    for value in (shown[2], shown[3]):
        assert "<table>" in value._repr_html_()


def test_the_notebook_is_kept_without_what_a_run_of_it_left():
    content = json.loads(NOTEBOOK.read_text("utf-8"))
    cells = [c for c in content["cells"] if c["cell_type"] == "code"]
    assert all(c["outputs"] == [] and c["execution_count"] is None for c in cells)
