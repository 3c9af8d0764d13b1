"""A hand-written backward function, or the numbers it gave, held against the true gradients.

A function is called as `FUNCTION(params, x, state, dy, dstate)` and answers a dict of gradients:

* `params`: a dict of arrays by the spec's own names, in the spec's shapes;
* `x`: the input, (T, B, D); a dict by name where the spec has several;
* `state`: a dict of the initial states, (B, H) each;
* `dy`: the gradient that arrives at the output, (T, B, H); a dict by name where there are several outputs;
  where the spec has a loss, the target instead;
* `dstate`: a dict of the gradients that arrive at the last states.

The answer holds, under the spec's names or with `d_` before them, gradients of parameters, of inputs
(T, B, D) and of initial states (B, H); and, if one likes, of any other value at every step, (T, B, ...).
What is not there is not compared.

What differs is explained by trying: our own gradients with a branch cut or altered, until they are theirs.
The function is a stranger's code. It runs in a process of its own, with a time limit, and only if asked for.
"""

from __future__ import annotations

from pathlib import Path

from ..derivation.chain import derive
from ..derivation.graph import Graph
from ..errors import Mistakes, Place
from ..numerics.points import choose_sizes
from .comparing import CodeAudit, Comparer
from .foreign import SECONDS, ForeignError, read_arrays, run_function
from .given import STEPS, draw


def audit_module(graph: Graph, path: str | Path, function: str, seconds: float = SECONDS) -> CodeAudit:
    """Run a stranger's backward function and hold what it answers against the true gradients."""
    if not Path(path).is_file():
        raise ForeignError(f"there is no file '{path}'")
    derivation, sizes = derive(graph), choose_sizes(graph, 2)
    data = draw(graph, sizes)
    theirs = run_function(path, function, graph, data, seconds)
    comparer = Comparer(derivation, sizes, data, theirs)
    if comparer.differing:
        for steps in range(1, STEPS):
            shorter = data.first(steps)
            comparer.at_length(steps, shorter, run_function(path, function, graph, shorter, seconds))
    return comparer.audit()


def audit_arrays(graph: Graph, path: str | Path) -> CodeAudit:
    """Hold somebody's numbers against the true gradients of the same data."""
    data, theirs, sizes = read_arrays(path, graph)
    return Comparer(derive(graph), sizes, data, theirs).audit()


def split_target(text: str) -> tuple[str, str]:
    """FILE.py:FUNCTION as its two parts; an error that says how it is written where it is not."""
    path, colon, function = text.rpartition(":")
    if not colon or not path or not function.isidentifier():
        raise Mistakes(text, "").fatal(Place(1, 1), "write --module FILE.py:FUNCTION")
    return path, function
