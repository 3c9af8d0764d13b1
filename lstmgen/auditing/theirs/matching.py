"""Which of their arrays is which of ours, by their names: `Wf, Uf, bf`, `Wxh, Whh`, or `Wx, Wh, b` for all gates."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from itertools import permutations

from ...derivation.graph import Graph
from ...language.cures import same_letters
from .blocks import Block, Grid, Made, Ours
from .known import (
    BIAS, BIAS_ALL, BOTH, BOTH_ALL, GATES, INPUT_ALL, INPUT_MATRIX, PEEPHOLE, STATE_ALL, STATE_MATRIX,
)

Parameters = tuple[tuple[str, Block], ...]


def equal_names(names: Collection[str], graph: Graph) -> Parameters:
    """Their arrays that are called as ours are, but for underscores; () unless all of ours are there."""
    found = some_names(names, graph)
    return found if len(found) == len(graph.parameters) else ()


def some_names(names: Collection[str], graph: Graph) -> Parameters:
    """The same, as far as there are such arrays."""
    found: dict[str, Block] = {}
    for ours in graph.parameters:
        theirs = ours if ours in names else same_letters(ours, names)
        if theirs is not None:
            found.setdefault(theirs, Ours(ours))
    return tuple(found.items())


class Gates:
    """The parameters of a cell that has W_g, R_g and maybe b_g and p_g for each gate g."""

    def __init__(self, graph: Graph):
        own = graph.parameters
        self.gates = tuple(name[2:] for name in own if name.startswith("W_") and f"R_{name[2:]}" in own)
        self.biases = tuple(gate for gate in self.gates if f"b_{gate}" in own)
        self.peepholes = tuple(gate for gate in self.gates if f"p_{gate}" in own)
        kind = "lstm" if set(self.gates) <= set("ifoz") else "gru" if set(self.gates) <= set("rzn") else ""
        self.called = GATES.get(kind, {})

    def aliases(self, gate: str) -> tuple[str, ...]:
        return self.called.get(gate, (gate,))

    def by_gate(self, names: Collection[str], pattern: str, gates: Sequence[str]) -> dict[str, str] | None:
        """Their name for each gate, by a pattern such as `W_@`; None where one has none."""
        match = re.compile(re.escape(pattern).replace("@", "(?P<gate>[A-Za-z_]+)") + r"\Z")
        written = {found["gate"].strip("_").lower(): name for name in names if (found := match.match(name))}
        chosen: dict[str, str] = {}
        for gate in sorted(gates, key=lambda each: sum(alias in written for alias in self.aliases(each))):
            free = [alias for alias in self.aliases(gate) if alias in written and written[alias] not in chosen.values()]
            if not free:
                return None
            chosen[gate] = written[free[0]]
        return {gate: chosen[gate] for gate in gates}


def by_notation(names: Collection[str], graph: Graph) -> Iterator[Parameters]:
    """Every reading of their names for a cell with gates, the likeliest first. Matrices as ours are, (H, D) and (H, H)."""
    gates = Gates(graph)
    if not gates.gates:
        return
    seen, order = set(), list(names)
    for found in (*_separate(gates, names), *_beside(gates, names), *_stacked(gates, names)):
        in_their_order = tuple(sorted(found, key=lambda pair: order.index(pair[0])))
        if in_their_order not in seen:
            seen.add(in_their_order)
            yield in_their_order


def _first(gates: Gates, names: Collection[str], patterns: Sequence[str], of: Sequence[str]) -> dict[str, str]:
    return next((found for pattern in patterns if of and (found := gates.by_gate(names, pattern, of))), {})


def _vectors(gates: Gates, names: Collection[str]) -> list[tuple[str, Block]]:
    """Biases and peepholes, each gate with its own."""
    biases = _first(gates, names, BIAS, gates.biases)
    left = [name for name in names if name not in biases.values()]
    peepholes = _first(gates, left, PEEPHOLE, gates.peepholes)
    return [*((name, Ours(f"b_{gate}")) for gate, name in biases.items()),
            *((name, Ours(f"p_{gate}")) for gate, name in peepholes.items())]


def _separate(gates: Gates, names: Collection[str]) -> Iterator[Parameters]:
    """Two matrices for each gate."""
    for first in INPUT_MATRIX:
        inputs = gates.by_gate(names, first, gates.gates)
        for second in STATE_MATRIX if inputs else ():
            left = [name for name in names if inputs and name not in inputs.values()]
            states = gates.by_gate(left, second, gates.gates)
            if inputs and states:
                left = [name for name in left if name not in states.values()]
                yield (*((name, Ours(f"W_{gate}")) for gate, name in inputs.items()),
                       *((name, Ours(f"R_{gate}")) for gate, name in states.items()), *_vectors(gates, left))
                if first[0] == second[0] == "W" or {first[0], second[0]} == {"U", "W"}:  # U and W are used either way
                    yield (*((name, Ours(f"R_{gate}")) for gate, name in inputs.items()),
                           *((name, Ours(f"W_{gate}")) for gate, name in states.items()), *_vectors(gates, left))
                return


def _beside(gates: Gates, names: Collection[str]) -> Iterator[Parameters]:
    """One matrix for each gate: [h, x] or [x, h]."""
    matrices = _first(gates, names, BOTH, gates.gates)
    if not matrices:
        return
    left = [name for name in names if name not in matrices.values()]
    for order in ("RW", "WR"):
        yield (*((name, _row(order, gate)) for gate, name in matrices.items()), *_vectors(gates, left))


def _row(order: str, gate: str, bias: bool = False) -> Block:
    return Grid((tuple(Ours(f"{letter}_{gate}") for letter in order),))


def _stacked(gates: Gates, names: Collection[str]) -> Iterator[Parameters]:
    """One array for all gates, in the order of the spec. `reordered` gives the others."""
    bias_names = [name for name in BIAS_ALL if name in names] if gates.biases else []
    bias = [(bias_names[0], _under("b", gates.biases))] if bias_names else []
    peepholes = [(name, Ours(f"p_{gate}")) for gate, name in _first(gates, names, PEEPHOLE, gates.peepholes).items()]
    for first in INPUT_ALL:
        for second in STATE_ALL:
            if first != second and first in names and second in names:
                yield ((first, _under("W", gates.gates)), (second, _under("R", gates.gates)), *bias, *peepholes)
    for name in BOTH_ALL:
        if name in names:
            for order in ("RW", "WR"):
                rows = tuple(tuple(Ours(f"{letter}_{gate}") for letter in order) for gate in gates.gates)
                yield ((name, Grid(rows)), *bias, *peepholes)
            for order in () if bias or len(gates.biases) < len(gates.gates) else ("bWR", "bRW", "WRb", "RWb"):
                rows = tuple(tuple(Ours(f"{letter}_{gate}") for letter in order) for gate in gates.gates)
                yield ((name, Grid(rows)), *peepholes)


def _under(letter: str, gates: Sequence[str]) -> Block:
    if len(gates) == 1:
        return Ours(f"{letter}_{gates[0]}")
    return Grid(tuple((Ours(f"{letter}_{gate}"),) for gate in gates))


def reordered(parameters: Parameters) -> Iterator[Parameters]:
    """The same with the gates of all arrays in every other order; nothing where no array holds several gates."""
    count = max((_rows(block) for _, block in parameters), default=0)
    if not 1 < count <= 5:
        return
    for order in permutations(range(count)):
        if order != tuple(range(count)):
            yield tuple((name, _in_order(block, order)) for name, block in parameters)


def _rows(block: Block) -> int:
    match block:
        case Grid(rows=rows):
            return len(rows)
        case Made(parts=(part,)):
            return _rows(part)
    return 0


def _in_order(block: Block, order: Sequence[int]) -> Block:
    match block:
        case Grid(rows=rows) if len(rows) == len(order):
            return Grid(tuple(rows[at] for at in order))
        case Made(function=function, parts=(part,)):
            return Made(function, (_in_order(part, order),))
    return block


def turned(parameters: Parameters, graph: Graph) -> Parameters:
    """The same with every matrix transposed, for code that computes x @ W."""
    return tuple((name, Made("transpose", (block,)) if _is_matrix(block, graph) else block) for name, block in parameters)


def standing(parameters: Parameters, graph: Graph, function: str) -> Parameters:
    """The same with every vector as a column, or as a row."""
    return tuple((name, Made(function, (block,)) if _is_vector(block, graph) else block) for name, block in parameters)


def _axes(block: Block, graph: Graph) -> int:
    match block:
        case Ours(name=name):
            return len(graph.shapes[name])
        case Grid(rows=rows):
            return max(_axes(part, graph) for row in rows for part in row)
        case Made(function="transpose" | "zeros", parts=(part, *_)):
            return _axes(part, graph)
        case Made(function="stack", parts=(part, *_)):
            return 1 + _axes(part, graph)
    return 2


def _is_matrix(block: Block, graph: Graph) -> bool:
    return _axes(block, graph) == 2


def _is_vector(block: Block, graph: Graph) -> bool:
    return _axes(block, graph) == 1
