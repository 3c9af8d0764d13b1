"""The arrays that the driver found -> gradients and outputs, by our names and in our layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...language.cures import same_letters
from ..given import Data
from .blocks import names_in
from .forms import sequence_back, single_back
from .jobs import of_answer
from .known import answered, stripped, value_called
from .records import EACH, SENT, STATES, VALUE, Ref
from .sides import Side

Found = Sequence[Mapping[str, Any]]  # what the driver says of each array: kind, step, keys, array
CHANGED = "changed"  # of an item: by how much a parameter of theirs has become smaller
_CONTAINERS = ("grad", "d")  # how an attribute begins that holds gradients under the parameters' own names


@dataclass(frozen=True)
class Answer:
    """What their code gave, in our names and our layout."""

    gradients: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]  # (T, B, *shape) of what forward gives
    last: Mapping[str, np.ndarray]  # (B, *shape): the same where it gives the last step alone
    unread: tuple[str, ...]  # what is called a gradient, and has another shape: with both shapes
    missing: tuple[str, ...]  # their parameters whose gradients are not in the answer
    listed: tuple[tuple[str, np.ndarray], ...]  # gradients that lie in a list, in an order that nothing tells
    updated: bool = False  # whether gradients are what their code takes away from its parameters
    normalized: bool = False  # whether that is of one size in nearly all entries


@dataclass(frozen=True)
class _Part:
    """One array of an answer, and what it is the gradient of."""

    told: str  # as errors call it
    theirs: str | None  # a parameter of theirs
    ref: Ref | None  # or a value of ours
    array: np.ndarray
    step: int


class Reader:
    """The answer of one job."""

    def __init__(self, side: Side, data: Data, found: Found, arrays: Mapping[str, np.ndarray]):
        self.side, self.plan, self.graph, self.data = side, side.plan, side.graph, data
        self.found, self.arrays = found, arrays
        self.unread: list[str] = []
        self.listed: dict[str, np.ndarray] = {}
        self.turned = False  # whether gradients of matrices are transposed
        self.updated = self.normalized = False

    def read(self) -> Answer:
        """Their gradients and outputs, as far as they can be told."""
        parts = [part for item in self.found if item["kind"] not in ("forward", CHANGED) for part in self._meant(item)]
        if not any(part.theirs for part in parts):
            parts += [self._taken(item) for item in self.found if item["kind"] == CHANGED]
        first: dict[tuple[str, int], _Part] = {}
        for part in parts:
            first.setdefault((part.theirs or str(part.ref), part.step), part)
        gradients: dict[str, np.ndarray] = {}
        self.turned = any(self._is_turned(part) for part in first.values())
        for name in self.side.blocks:
            whole = [part for (key, _), part in first.items() if key == name and part.theirs]
            if whole:
                self._parameter(name, whole, gradients)
        self._values([part for part in first.values() if part.ref is not None], gradients)
        outputs, last = self._outputs()
        missing = tuple(name for name in self.side.blocks if not any(part.theirs == name for part in parts))
        return Answer(gradients, outputs, last, tuple(dict.fromkeys(self.unread)), missing, tuple(self.listed.items()),
                      self.updated, self.normalized)

    def _is_turned(self, part: _Part) -> bool:
        """Whether a gradient is the transposed of what has the shape of its array."""
        shape = self.side.entries[part.theirs].shape if part.theirs else ()
        return len(shape) == 2 and 1 not in shape and part.array.shape == shape[::-1] != shape

    def _taken(self, item: Mapping[str, Any]) -> _Part:
        """What their code takes away from a parameter, where it gives no gradients."""
        (name,) = item["keys"]
        array = self.arrays[item["array"]]
        self.updated = True
        if _is_normalized(array):
            self.normalized = True
        return _Part(name, name, None, array, item["step"])

    # ------------------------------------------------------------------ what a part is

    def _meant(self, item: Mapping[str, Any]) -> list[_Part]:
        keys, array = list(item["keys"]), self.arrays[item["array"]]
        name = self._name_of(keys, item["kind"])
        said = self._said(keys, name, item["kind"])
        if said is not None:
            theirs = said if said in self.side.blocks else self._theirs(said)
            ref = None if theirs else of_answer(said, self.graph)
        else:
            theirs = self._guessed(keys, name, item["kind"], array)
            ref = self._value(name) if theirs is None and item["kind"] == "backward" else None
        if theirs is None and ref is None:
            return []
        return [_Part(name or path_text(keys), theirs, ref, array, item["step"])]

    def _name_of(self, keys: list[str], kind: str) -> str:
        """What the code calls it: its key, or the name in the return statement."""
        returns = self.plan.returns if kind == "backward" else ()
        if not keys:
            return returns[0] if len(returns) == 1 else ""
        if len(keys) == 1 and keys[0].isdigit() and int(keys[0]) < len(returns) and len(returns) > 1:
            return returns[int(keys[0])]
        return "" if keys[-1].isdigit() else keys[-1]

    def _said(self, keys: list[str], name: str, kind: str) -> str | None:
        """What the layout says of it; "" where it says nothing of this, but names all that counts."""
        layout = self.plan.layout
        if layout.answer is not None and kind == "backward":
            if len(keys) == 1 and keys[0].isdigit() and len(layout.answer) > 1:
                position = int(keys[0])
                return (layout.answer[position] or None) if position < len(layout.answer) else None
            return layout.answer[0] if not keys and len(layout.answer) == 1 else None
        written = {name, path_text(keys)} - {""}
        return next((said for theirs, said in layout.gradients or () if theirs in written), None)

    def _theirs(self, name: str) -> str | None:
        """The array of theirs that is called so, or that is one of our parameters alone."""
        found = same_letters(name, self.side.blocks) or _folded(name, self.side.blocks)
        if found is None:
            alone = {ours: theirs for theirs, block in self.side.blocks.items()
                     if len(inside := list(names_in(block))) == 1 for ours in inside}
            found = alone.get(name)
        return found

    def _guessed(self, keys: list[str], name: str, kind: str, array: np.ndarray) -> str | None:
        blocks = self.side.blocks
        bare = stripped(name) if name else None
        if bare is not None and (found := self._theirs(bare)) is not None and bare != name:
            return found
        held = len(keys) > 1 and keys[-2].lower().startswith(_CONTAINERS)
        if name and (kind == "backward" or held) and name in blocks:
            return name
        listed = keys[:-1] if keys and keys[-1].isdigit() else None
        if listed is not None and not name and (kind == "backward" or listed):
            if kind == "left" and not listed[-1].lower().startswith(_CONTAINERS):
                return None
            if self._count(listed, kind) == len(blocks):
                self.listed[path_text(keys)] = self.listed.get(path_text(keys), 0) + array
                return list(blocks)[int(keys[-1])]
        return None

    def _count(self, keys: list[str], kind: str) -> int:
        """How many arrays lie in a list."""
        return len({tuple(item["keys"]) for item in self.found
                    if item["kind"] == kind and item["keys"][:-1] == keys and item["keys"] and item["keys"][-1].isdigit()})

    def _value(self, name: str) -> Ref | None:
        """An input or an initial state, by its name. `dh` of all steps may be anything."""
        if name in self.graph.inputs:
            return Ref(VALUE, name)
        if name in self.graph.states and self.plan.backward.reads(STATES):  # all by our own names
            return Ref(SENT, name)
        ref = answered(name, self.graph) if name else None
        if ref is not None and ref.kind == SENT and self.plan.layout.steps != EACH:
            rest = stripped(name) or ""
            if value_called(rest, self.graph, self.graph.states) is not None:
                return None
        return ref

    # ------------------------------------------------------------------ in our layout

    def _parameter(self, name: str, parts: list[_Part], gradients: dict[str, np.ndarray]) -> None:
        """The gradient of an array of theirs, as gradients of ours."""
        entries = self.side.entries[name]
        total = sum(part.array for part in parts) if self.plan.each else parts[0].array
        total = np.asarray(total)
        # If one matrix shows by its shape that gradients are transposed, those of square matrices are, too.
        fitted = _fitted(total.T if self.turned and total.ndim == 2 else total, entries.shape)
        fitted = _fitted(total, entries.shape) if fitted is None else fitted
        inside = list(names_in(self.side.blocks[name]))
        if fitted is None:
            self.unread.append(f"{parts[0].told} is {total.shape}, and {name} is {entries.shape}")
            gradients |= dict.fromkeys(inside, total)
            return
        for ours in inside:
            first = sum(int(np.prod(self.side.shapes[each])) for each in self._before(ours))
            whole = np.zeros(self.side.shapes[ours], fitted.dtype)
            mine = (entries >= first) & (entries < first + whole.size)
            whole.flat[entries[mine] - first] = fitted[mine]
            gradients[ours] = whole

    def _before(self, ours: str) -> list[str]:
        names = list(self.side.shapes)
        return names[: names.index(ours)]

    def _values(self, parts: list[_Part], gradients: dict[str, np.ndarray]) -> None:
        data, form = self.data, self.side.form
        for ref in dict.fromkeys(part.ref for part in parts if part.ref is not None):
            mine = sorted((part for part in parts if part.ref == ref), key=lambda part: part.step)
            shape = self.side.shape(ref.name)
            if ref.kind == SENT:
                found = single_back(mine[0].array, data.batch, shape, form)
            elif self.plan.each:
                each = [single_back(part.array, data.batch, shape, form) for part in mine]
                found = None if any(one is None for one in each) else np.stack([one for one in each if one is not None])
            else:
                found = sequence_back(mine[0].array, data.steps, data.batch, shape, form)
            if found is not None:
                gradients[ref.name] = found
            else:
                self.unread.append(f"{mine[0].told} is {mine[0].array.shape}, and is not compared")

    # ------------------------------------------------------------------ what forward gave

    def _outputs(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        outputs: dict[str, np.ndarray] = {}
        last: dict[str, np.ndarray] = {}
        data, form, meant = self.data, self.side.form, dict(self.plan.meant)
        for position, name in enumerate(self.plan.gives):
            ref = meant.get(name)
            places = ([str(position)] if len(self.plan.gives) > 1 else [], [name])
            items = [item for item in self.found if item["kind"] == "forward" and list(item["keys"]) in places]
            if ref is None or ref.kind != VALUE or not items:
                continue
            shape = self.side.shape(ref.name)
            arrays = [self.arrays[item["array"]] for item in items]
            if self.plan.each:
                each = [one for array in arrays if (one := single_back(array, data.batch, shape, form)) is not None]
                if len(each) == data.steps:
                    outputs[ref.name] = np.stack(each)
                continue
            whole = sequence_back(arrays[0], data.steps, data.batch, shape, form)
            one = single_back(arrays[0], data.batch, shape, form) if whole is None else None
            if whole is not None:
                outputs[ref.name] = whole
            elif one is not None:
                last[ref.name] = one
        return outputs, last


def path_text(keys: Sequence[str]) -> str:
    """`grads[0]`: the keys as a layout file has them."""
    return "".join(f"[{key}]" if key.isdigit() else f".{key}" for key in keys).removeprefix(".")


def _is_normalized(array: np.ndarray) -> bool:
    """Whether nearly all entries have one size: those of a gradient do not."""
    sizes = np.abs(array[np.isfinite(array) & (array != 0)])
    return sizes.size >= 4 and float(np.mean(sizes >= 0.9 * sizes.max(initial=0))) > 0.7


def _folded(name: str, known: Mapping[str, object]) -> str | None:
    """The known name with the same letters, large or small."""
    low = [each for each in known if each.lower().replace("_", "") == name.lower().replace("_", "")]
    return low[0] if len(low) == 1 else None


def _fitted(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """The array in this shape, where nothing but axes of length 1 is in the way."""
    if array.shape == shape:
        return array
    if tuple(size for size in array.shape if size != 1) == tuple(size for size in shape if size != 1):
        return array.reshape(shape)
    return None
