"""Compare a backward function, or its numbers, with the true gradients.

A function is called as `FUNCTION(params, x, state, dy, dstate)` and returns a dict of gradients:

* `params`: a dict of arrays by the spec's own names, in the spec's shapes;
* `x`: the input, (T, B, D); a dict by name where the spec has several;
* `state`: a dict of the initial states, (B, H) each;
* `dy`: the gradient from outside at the output, (T, B, H); a dict by name if there are several outputs;
  if the spec has a loss, the target in its place;
* `dstate`: a dict of the gradients that arrive at the last states.

The result has gradients by the names of the spec, with or without `d_`: of parameters, of inputs (T, B, D), of initial
states (B, H), and optionally of any other value at every step, (T, B, ...). What is not in it is not compared.

The explanation is found by trying: contributions to our own gradients are left out or altered until they equal theirs. The
function is somebody else's code. It runs in a process of its own, with a time limit, and only if asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..derivation.chain import Derivation, derive
from ..derivation.graph import Graph
from ..errors import Mistakes, Place
from ..numerics.points import choose_sizes
from .comparing import CodeAudit, Comparer
from ..printed import counted
from .foreign import SECONDS, ForeignError, read_arrays, run_function
from .given import Data, draw


def audit_module(graph: Graph, path: str | Path, function: str, seconds: float = SECONDS) -> CodeAudit:
    """Run somebody's backward function and compare its result with the true gradients."""
    if not Path(path).is_file():
        raise ForeignError(f"there is no file '{path}'")
    if Path(path).suffix != ".py":
        raise ForeignError(f"'{path}' is not a .py file; of a notebook: jupyter nbconvert --to script {Path(path).name}")

    def answer(given: Data) -> dict[str, np.ndarray]:
        return run_function(path, function, graph, given, seconds)

    return audit_answers(graph, answer)


def audit_answers(
    graph: Graph, answer: Callable[[Data], dict[str, np.ndarray]], data: Data | None = None, notes: tuple[str, ...] = (),
    sizes: Mapping[str, int] | None = None,
) -> CodeAudit:
    """Compare what somebody's code answers to `data`, or to random data, with the true gradients.

    `answer` gives their gradients for data in our layout, by name, and raises `ForeignError` where their code fails.
    `sizes` are those of `data`, where they are given.
    """
    derivation, sizes, told = derive(graph), sizes or choose_sizes(graph, 2), [*notes]
    data = data or draw(graph, sizes)
    theirs = answer(data)
    comparer = Comparer(derivation, sizes, data, theirs)
    if comparer.differing:
        read, unread = _as_read(data, theirs, answer)
        if unread:
            told.append(f"{' and '.join(unread)} {'are' if len(unread) > 1 else 'is'} not read, and taken to be zero")
            data, comparer = read, Comparer(derivation, sizes, read, theirs)
    if comparer.differing:
        told += _probe_shorter(comparer, data, answer)
    return comparer.audit(tuple(told))


def _as_read(
    data: Data, theirs: Mapping[str, np.ndarray], answer: Callable[[Data], dict[str, np.ndarray]]
) -> tuple[Data, list[str]]:
    """The data with zeros for what their function does not read, and what that is: its answer stays if it is changed."""
    unread = []
    for group in ("state", "dstate"):
        if not any(np.any(array) for array in getattr(data, group).values()):
            continue  # zero already
        changed = replace(data, **{group: {name: 0 * array for name, array in getattr(data, group).items()}})
        try:
            again = answer(changed)
        except ForeignError:
            continue  # it reads them, if only to stumble
        if again.keys() == theirs.keys() and all(np.array_equal(again[name], theirs[name], equal_nan=True) for name in again):
            data = changed
            unread.append(group)
    return data, unread


def _probe_shorter(comparer: Comparer, data: Data, answer: Callable[[Data], dict[str, np.ndarray]]) -> list[str]:
    """Ask for shorter sequences, in which mistakes are less mixed; a note where their code takes none of some length."""
    notes = []
    for steps in range(1, data.steps):
        shorter = data.first(steps)
        try:
            comparer.at_length(shorter, answer(shorter))
        except ForeignError as problem:
            notes.append(f"in a sequence of {counted(steps, 'step')} it does not run, which was not counted: {problem}")
    return notes


def audit_arrays(graph: Graph, path: str | Path) -> CodeAudit:
    """Compare somebody's numbers with the true gradients of the same data."""
    derivation = derive(graph)
    try:
        data, theirs, sizes = read_arrays(path, graph)
        found = Comparer(derivation, sizes, data, theirs)
    except ForeignError:
        found = None
    if found is None or found.differing:
        turned = _with_batch_first(derivation, path)
        if turned is not None:
            return turned
        data, theirs, sizes = read_arrays(path, graph)  # and its mistake, if it has one
        found = Comparer(derivation, sizes, data, theirs)
    return found.audit()


def _with_batch_first(derivation: Derivation, path: str | Path) -> CodeAudit | None:
    """The same with the first two axes exchanged, if all agrees then."""
    try:
        data, theirs, sizes = read_arrays(path, derivation.graph, batch_first=True)
        found = Comparer(derivation, sizes, data, theirs)
    except ForeignError:
        return None
    return None if found.differing else found.audit(("inputs and dy have the batch first: read so",))


def split_target(text: str) -> tuple[str, str]:
    """FILE.py:FUNCTION as its two parts; an error that says how it is written where it is not."""
    path, colon, function = text.rpartition(":")
    if not colon or not path or not all(part.isidentifier() for part in function.split(".")):
        raise Mistakes(text, "").fatal(Place(1, 1), "write --module FILE.py:FUNCTION, or FILE.py:CLASS.METHOD")
    return path, function
