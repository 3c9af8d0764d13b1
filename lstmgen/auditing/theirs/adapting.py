"""Data in our layout -> jobs for the driver; the arrays that it found -> gradients by our names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..given import Data
from .answers import Answer, Found, Reader
from .blocks import names_in
from .jobs import Writer
from .planning import Called
from .records import ADJOINT, LAST_OUTSIDE, ONE_HOT, OUTSIDE, TOKENS
from .sides import Side


class Adapter:
    """Takes data to their code, and its answers back."""

    def __init__(self, side: Side):
        self.side, self.plan, self.graph = side, side.plan, side.graph

    # ------------------------------------------------------------------ to them

    def fitted(self, data: Data) -> Data:
        """The data as far as their code can take them: the rest is zero. Tokens are one-hot."""
        plan, graph = self.plan, self.graph
        held = {name for block in self.side.blocks.values() for name in names_in(block)}
        refs = [*plan.read, *(each for call in plan.calls for each in call.arguments)]
        tokens = {ref.name for _, ref in refs if ref.kind in (TOKENS, ONE_HOT)}
        return Data(
            {name: array if name in held else 0 * array for name, array in data.params.items()},
            {name: _one_hot(array) if name in tokens else array for name, array in data.inputs.items()},
            {name: array if plan.each or plan.takes_state(name) else 0 * array for name, array in data.state.items()},
            {name: self._outside(name, array) for name, array in data.dy.items()},
            {name: self._final(name, data) for name in graph.states},
        )

    def _outside(self, name: str, array: np.ndarray) -> np.ndarray:
        backward = self.plan.backward
        if backward.reads(OUTSIDE, name) or backward.reads(ADJOINT, name):
            return array
        last = np.concatenate([0 * array[:-1], array[-1:]])
        return last if backward.reads(LAST_OUTSIDE, name) else 0 * array

    def _final(self, name: str, data: Data) -> np.ndarray:
        return data.dstate[name] if self.plan.takes_final(name) else 0 * data.dstate[name]

    def jobs(self, data: Data, prefix: str = "") -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
        """A job for the driver, or one for each example, and the arrays that they speak of, all beginning with `prefix`."""
        jobs: list[dict[str, Any]] = []
        arrays: dict[str, np.ndarray] = {}
        for number, part in enumerate(self._parts(data)):
            writer = Writer(self.side, part, f"{prefix}{number}:")
            jobs.append(writer.job())
            arrays |= writer.arrays
        return jobs, arrays

    def shapes(self, call: Called, data: Data) -> dict[str, tuple[int, ...]]:
        """The shapes of what a call is handed, by their names."""
        writer = Writer(self.side, self._parts(data)[0], "")
        found = {theirs: writer.arrays[key].shape for theirs, key in writer.parameters.items()}
        for argument, ref in call.arguments:
            slot = writer.slot(ref)
            if slot["kind"] in ("array", "integers", "arrived"):
                shape = writer.arrays[slot["key"]].shape
                found[argument.text] = shape[1:] if slot.get("step") or slot["kind"] == "arrived" else shape
        return found

    def _parts(self, data: Data) -> list[Data]:
        if not self.side.alone:
            return [data]
        return [
            Data(data.params, {name: array[:, at : at + 1] for name, array in data.inputs.items()},
                 {name: array[at : at + 1] for name, array in data.state.items()},
                 {name: array[:, at : at + 1] for name, array in data.dy.items()},
                 {name: array[at : at + 1] for name, array in data.dstate.items()})
            for at in range(data.batch)
        ]

    # ------------------------------------------------------------------ from them

    def answer(self, data: Data, founds: Sequence[Found], arrays: Mapping[str, np.ndarray]) -> Answer:
        """What was found, one for each job. A `ForeignError` says why there is nothing to compare."""
        parts = [Reader(self.side, part, found, arrays).read() for part, found in zip(self._parts(data), founds)]
        return parts[0] if len(parts) == 1 else self._together(parts)

    def _together(self, parts: list[Answer]) -> Answer:
        """Examples beside each other, and their gradients of parameters added up."""
        gradients = {}
        for name in parts[0].gradients:
            each = [part.gradients[name] for part in parts if name in part.gradients]
            if name in self.graph.parameters:
                gradients[name] = np.asarray(sum(each))
            elif len(each) == len(parts):
                gradients[name] = np.concatenate(each, axis=each[0].ndim - 1 - len(self.side.shape(name)))
        return Answer(
            gradients,
            {name: np.concatenate([part.outputs[name] for part in parts], 1) for name in parts[0].outputs},
            {name: np.concatenate([part.last[name] for part in parts], 0) for name in parts[0].last},
            parts[0].unread, parts[0].missing,
            tuple((name, np.asarray(sum(dict(part.listed)[name] for part in parts))) for name, _ in parts[0].listed),
            parts[0].updated, any(part.normalized for part in parts),
        )


def _one_hot(array: np.ndarray) -> np.ndarray:
    """A one where the largest entry is."""
    return np.asarray(np.arange(array.shape[-1]) == array.argmax(-1)[..., None], float)
