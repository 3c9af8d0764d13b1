"""A layout file to start from: what can be told of somebody's code, with comments that teach the format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...derivation.build import build_graph
from ...derivation.graph import Graph
from ...resources import find_spec
from ...spec.reader import load
from ..foreign import ForeignError
from .judging import Guess, guess_layout

# The cells that code on the net computes, tried in this order where none is named.
_USUAL = ("lstm", "gru_reset_before", "gru", "rnn", "peephole_lstm", "lstm_no_bias")

_HEAD = """\
# How {code} is called, and which of its arrays is which. Compare it with
#
#     lstmgen audit --code {code} --layout THIS_FILE
#
# {told}
# What is left out is guessed. vectors: rows, columns or flat; batch: second, first or one (one example at a time);
# steps: all, or each (one call for each step). parameters: theirs, then ours: "[R_f, W_f]" is side by side, "[W_i; W_f]"
# under each other; transpose( ), column( ) and row( ). names: what their arguments and results stand for.
# gradients: {{dWf: Wf}}, or for a tuple a list: [x, "h[t-1]", Wf].

"""


def draft(code: str, spec: Path | None, name: str, python: str) -> str:
    """The text of a layout file for their code. It runs their file, and raises `ForeignError` where nothing can be called."""
    best: tuple[str, Guess] | None = None
    trouble: ForeignError | None = None
    for called, graph in _cells(spec, name):
        try:
            guess = guess_layout(graph, code, python)
        except ForeignError as problem:
            trouble = trouble or problem
            continue
        if best is None or guess.rank > best[1].rank:
            best = called, guess
        if guess.confirmed:
            break
    if best is None:
        raise trouble or ForeignError(f"{code} cannot be called for any of {', '.join(_USUAL)}: name a cell with --from SPEC")
    called, guess = best
    told = f"Its answers are those of {called}: the reading is right." if guess.confirmed else (
        f"Nothing confirms this reading, for {called}: look at each line.")
    return _HEAD.format(code=code, told=told) + f"spec: {called}\n{guess.text}"


def _cells(spec: Path | None, name: str) -> Iterator[tuple[str, Graph]]:
    if spec is not None:
        yield name, build_graph(load(spec))
        return
    for each in _USUAL:
        found = find_spec(each)
        if found is not None:
            yield each, build_graph(load(found))
