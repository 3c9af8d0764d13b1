"""Our side: the parameters of a cell under the names of its spec, and as `init_params` stores them.

Also what all other sides have in common: arrays from tensors, blocks of gates, and the words of an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..language.shapes import Dim, Shape
from ..pipeline import derive, load
from ..schedule.make import make_schedule
from ..schedule.records import StoredParameter
from ..spec.cell import CellSpec, Variant

Cell = str | Path | CellSpec
"""A cell: a path, the name of a packaged spec, a spec's text, or what `load` returns."""

Array = NDArray[Any]
Arrays = Mapping[str, Any]  # of NumPy, or tensors


@dataclass(frozen=True)
class Layout:
    """Where the parameters of a cell are stored."""

    name: str  # of the cell
    variant: Variant
    stored: tuple[StoredParameter, ...]
    shapes: tuple[tuple[str, Shape], ...]  # of each parameter, in symbols
    learned: tuple[str, ...]  # parameters that states start from, which no other side has

    @property
    def weights(self) -> tuple[str, ...]:
        """The names of the parameters but for learned starts."""
        return tuple(name for name, _ in self.shapes if name not in self.learned)

    def store(self, named: Mapping[str, Array]) -> dict[str, Array]:
        """The arrays of `init_params`. Learned starts, which `named` does not have, are zero."""
        sizes = self._sizes({name: array.shape for name, array in named.items()})
        like = next(iter(named.values()))
        whole = {name: np.zeros(_numbers(dict(self.shapes)[name], sizes), like.dtype) for name in self.learned} | dict(named)
        return {
            stored.name: np.concatenate([np.atleast_1d(whole[member.name]) for member in stored.members])
            for stored in self.stored
        }

    def unstore(self, params: Arrays) -> dict[str, Array]:
        """Copies of the parameters under the names of the spec. A learned start must be zero."""
        arrays = {key: as_array(value) for key, value in params.items()}
        keys = [stored.name for stored in self.stored]
        if set(arrays) != set(keys):
            raise ValueError(f"the parameters of {self.name} are {listed(keys)}, and these are {listed(sorted(arrays))}")
        sizes = self._sizes_of_stored(arrays)
        named = {}
        for stored in self.stored:
            expect(f"params['{stored.name}']", arrays[stored.name], _numbers(stored.shape, sizes), self.name)
            for member in stored.members:
                first = member.first.value(sizes)
                named[member.name] = arrays[stored.name][first:first + member.shape[0].value(sizes)].copy()
        for name in self.learned:
            if named.pop(name).any():
                raise ValueError(f"{self.name} starts from {name}, which it has learned, and the other side has no "
                                 f"parameter for it: set {name} to zero, and hand its values over as the initial state")
        return named

    def _sizes(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        """What the symbols stand for."""
        told = dict(self.shapes)
        return {str(dim): size for name, shape in shapes.items() for dim, size in zip(told[name], shape)}

    def _sizes_of_stored(self, arrays: Mapping[str, Array]) -> dict[str, int]:
        """What the symbols stand for, from the arrays that are no stacks and the columns and rows of those that are."""
        sizes: dict[str, int] = {}
        for stored in self.stored:
            shape = arrays[stored.name].shape
            if len(shape) != len(stored.shape):
                told = ", ".join(map(str, stored.shape)) + "," * (len(stored.shape) == 1)
                raise ValueError(f"params['{stored.name}'] has the shape {shape}, and ({told}) is expected of {self.name}")
            for dim, size in zip(stored.shape, shape):
                match dim:
                    case Dim(terms=(((symbol,), factor),), constant=0):
                        sizes.setdefault(symbol, size // factor)
        return sizes


def layout_of(cell: Cell) -> Layout:
    """The layout of a cell. Raises ValueError if its spec is one of equations."""
    return _layout(cell if isinstance(cell, CellSpec) else load(cell))


@lru_cache(maxsize=64)
def _layout(spec: CellSpec) -> Layout:
    if spec.variant is None:
        raise ValueError(f"{spec.name} is a spec of equations, and weights are read for specs of switches alone: name the "
                         "LSTM, GRU or RNN that has the same parameters, as 'lstm', and use what it gives")
    schedule = make_schedule(derive(spec))
    shapes = {member.name: member.shape for stored in schedule.parameters for member in stored.members}
    starts = {initial.start for initial in spec.initial}
    learned = tuple(name for name in shapes if name in starts)
    return Layout(spec.name, spec.variant, schedule.parameters, tuple(shapes.items()), learned)


def _numbers(shape: Shape, sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(dim.value(sizes) for dim in shape)


# ---------------------------------------------------------------- what the other sides have in common


def as_array(value: Any) -> Array:
    """A NumPy array of what may be a tensor of PyTorch, in a type that NumPy has."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if value.dtype.itemsize < 4:  # bfloat16 is unknown to NumPy, and float16 has no use there
            value = value.float()
        return np.asarray(value.numpy())
    return np.asarray(value)


def expect(what: str, array: Array, shape: tuple[int, ...], name: str) -> None:
    """Raise a ValueError with both shapes if an array has another shape than the cell called `name` needs."""
    if array.shape != shape:
        raise ValueError(f"{what} has the shape {array.shape}, and {shape} is expected of {name}")


def size_of_gates(what: str, rows: int, order: str, shape: tuple[int, ...], name: str) -> int:
    """How many rows each gate has, if `rows` are those of all gates of `order`."""
    if rows % len(order):
        raise ValueError(f"{what} has the shape {shape}, and its {rows} rows are no multiple of the {len(order)} parts "
                         f"({', '.join(order)}) of {name}")
    return rows // len(order)


def blocks(array: Array, order: str, kind: str) -> dict[str, Array]:
    """The parts of an array, from its top, called by the gates: blocks(W, "ifzo", "W") has W_i, W_f, W_z and W_o."""
    return {f"{kind}_{gate}": part.copy() for gate, part in zip(order, np.split(array, len(order)))}


def stacked(named: Mapping[str, Array], order: str, kind: str) -> Array:
    """The other way; a gate that is not there is zero."""
    like = next(array for name, array in named.items() if name in {f"{kind}_{gate}" for gate in order})
    return np.concatenate([named.get(f"{kind}_{gate}", np.zeros_like(like)) for gate in order])


def refuse_variant(layout: Layout, library: str, has: tuple[str, ...] = ()) -> None:
    """Raise a ValueError for what an LSTM of ours has and an LSTM of `library` has not, but for what `has` names."""
    variant = layout.variant
    gates = "io" if variant.coupled else "ifo"
    found = {
        "coupled gates": variant.coupled,
        "peepholes": bool(variant.peepholes) and not variant.full_peepholes,
        "full peepholes": variant.full_peepholes,
        "gate recurrence": variant.gate_recurrence,
        "a projection": variant.projection,
        "a missing gate": variant.cell == "lstm" and not set(gates) <= set(variant.gates),
    }
    for what, is_there in found.items():
        if is_there and what not in has:
            raise ValueError(f"{layout.name} has {what}, and the LSTM of {library} has not")


def activation(layout: Layout, of: str, known: Mapping[str, Any], library: str) -> Any:
    """What `library` calls the activation of the gates, the input and so on."""
    function = dict(layout.variant.activations)[of]
    if function not in known:
        raise ValueError(f"the activation '{of}' of {layout.name} is {function}, and {library} has there "
                         f"{' or '.join(known)} alone")
    return known[function]


def listed(names: list[str]) -> str:
    return ", ".join(names) if names else "none"
