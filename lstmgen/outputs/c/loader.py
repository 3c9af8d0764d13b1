"""The text of NAME_c.py: the NumPy module's interface over the C functions."""

from __future__ import annotations

from ... import __version__
from ...schedule.records import Schedule
from ..numpy.module import module_context
from ..render import render, template_text


def loader_source(schedule: Schedule, verified: bool) -> str:
    """The text of the Python file that compiles NAME.c and calls it."""
    context = module_context(schedule)
    graph = schedule.graph
    keys = tuple(entry.name for entry in schedule.parameters)
    random = sorted({line.split("] = ")[-1].split("(")[0] for line in _lines(context["inits"]) if "] = _" in line})
    return render("c/loader.py.jinja", {
        **context, "version": __version__, "verified": verified, "keys": keys, "upper": graph.spec.name.upper(),
        "init_helpers": [template_text(f"numpy/helpers/init{name}.py").rstrip() for name in random],
        "counts": {
            "params": len(keys), "inputs": len(graph.inputs), "arguments": len(graph.inputs) + len(graph.targets),
            "states": len(graph.states), "outputs": len(graph.outputs),
        },
    })


def _lines(value: object) -> list[str]:
    assert isinstance(value, list)
    return value
