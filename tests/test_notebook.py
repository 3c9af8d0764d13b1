"""The example notebook runs, and shows what its text says."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parent.parent / "examples" / "gradient.ipynb"


@pytest.fixture(scope="module")
def shown() -> list[object]:
    """What each cell of code shows: the value of its last expression."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    names: dict[str, object] = {}
    values = []
    for cell in cells:
        if cell["cell_type"] == "code":
            *body, last = ast.parse("".join(cell["source"])).body
            exec(compile(ast.Module(body, []), str(NOTEBOOK), "exec"), names)
            values.append(eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names))
    return values


def test_every_cell_shows_something(shown):
    drawing, explanation, overview, readers, audited, flow, left = shown
    assert drawing._repr_svg_().startswith("<svg")
    assert "sends back" in explanation._repr_html_() and "Backward" in overview._repr_html_()
    assert len(readers) == 5
    assert "the contribution through o" in str(audited)
    assert flow._repr_html_().endswith('">')
    assert 0.5 < left < 1


def test_the_notebook_is_kept_without_what_it_printed():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code")
