"""The names of what is stored or computed side by side: `W_qk` for W_q and W_k."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ..derivation.graph import Graph

LONGEST = 24  # characters of a name that is put together


class StackNames:
    """Names of stacks. A stack of all matrices W_... is W; one of some of them has their endings: W_qk."""

    def __init__(self, graph: Graph):
        self.parameters = graph.parameters
        self.taken = set(graph.shapes) | {symbol for symbol, _ in graph.dims}

    def of(self, parameters: Sequence[str], read_by: str) -> str:
        """A name that nothing else has. `read_by` is a second choice: the vector, or the first stage of biases."""
        if len(parameters) == 1:
            return parameters[0]
        kinds: dict[str, list[str]] = {}
        for name in parameters:
            kinds.setdefault(_kind(name), []).append(name)
        wanted = (
            "_".join(self._all(kind, names) for kind, names in kinds.items()),
            "_".join(_some(kind, names) for kind, names in kinds.items()),
        )
        second = f"{next(iter(kinds))}_{read_by}"
        found = next((name for name in wanted if name not in self.taken and len(name) <= LONGEST), second)
        while found in self.taken:
            found += "_stack"
        self.taken.add(found)
        return found

    def _all(self, kind: str, names: Sequence[str]) -> str:
        """The kind alone where no other parameter is of it."""
        of_kind = {name for name in self.parameters if _kind(name) == kind}
        return kind if len(names) > 1 and of_kind <= set(names) else _some(kind, names)


def _kind(parameter: str) -> str:
    """What stands before the first `_`, or the first letter of a short name without one: W of W_i, of Wf and of W12."""
    is_short = re.fullmatch(r"[A-Za-z](\d*[A-Za-z]|\d+)", parameter)
    return parameter[0] if is_short else parameter.partition("_")[0]


def _some(kind: str, names: Sequence[str]) -> str:
    """The kind and the endings; one name as it is."""
    if len(names) == 1:
        return names[0]
    endings = [name.removeprefix(kind) for name in names]
    mark = "_" * all(ending.startswith("_") for ending in endings)
    return kind + mark + run_together(ending.removeprefix("_") for ending in endings)


def run_together(words: Iterable[str]) -> str:
    """Letters side by side, longer words apart, a common ending once: i, f, res -> if_res, and i_n, f_n -> if_n."""
    words = list(words)
    ending = "_" + words[0].rpartition("_")[2]
    if all(word.endswith(ending) for word in words):
        return run_together(word.removesuffix(ending) for word in words) + ending
    found, is_letter = words[0], len(words[0]) == 1
    for word in words[1:]:
        found += word if is_letter and len(word) == 1 else f"_{word}"
        is_letter = len(word) == 1
    return found
