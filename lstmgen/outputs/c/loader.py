"""The text of NAME_c.py: the NumPy module's interface over the C functions."""

from __future__ import annotations

from ... import __version__
from ...schedule.records import Schedule
from ..identity import identity
from ..numpy.module import module_context
from ..render import render


def loader_source(schedule: Schedule, verified: bool) -> str:
    """The text of the Python file that compiles NAME.c and calls it."""
    context = module_context(schedule)
    graph = schedule.graph
    keys = tuple(entry.name for entry in schedule.parameters)
    return render("c/loader.py.jinja", {
        **context, "version": __version__, "verified": verified, "keys": keys, "upper": graph.spec.name.upper(),
        "identity": identity(schedule),
        "counts": {
            "params": len(keys), "inputs": len(graph.inputs), "arguments": len(graph.inputs) + len(graph.targets),
            "states": len(graph.states), "outputs": len(graph.outputs),
        },
    })
