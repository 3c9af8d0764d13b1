"""What the driver is told: every call, with every argument as the array, the number or the earlier result that it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...derivation.graph import Graph
from ..foreign import ForeignError
from ..given import Data
from .blocks import assemble
from .forms import Form
from .known import answered
from .planning import Called
from .records import ADJOINT, ALL, BEFORE, ONE, ONE_HOT, PARAMETER, PARAMETERS, SENT, VALUE, Ref
from .refs import WORDS, read_ref
from .sides import Side


class Writer:
    """One job: every argument as what the driver makes of it."""

    def __init__(self, side: Side, data: Data, prefix: str):
        self.side, self.plan, self.data, self.prefix = side, side.plan, data, prefix
        self.arrays: dict[str, np.ndarray] = {}
        self.parameters = {
            theirs: self._kept(f"p.{theirs}", assemble(block, data.params)) for theirs, block in side.blocks.items()
        }

    def _kept(self, key: str, array: np.ndarray) -> str:
        self.arrays[self.prefix + key] = np.array(array, float)
        return self.prefix + key

    def job(self) -> dict[str, Any]:
        plan, data, form = self.plan, self.data, self.side.form
        states = self.side.graph.states
        handed = {ref.name for call in plan.calls for _, ref in (*call.make, *call.arguments) if ref.kind == PARAMETER}
        whole = any(call.reads(PARAMETERS) for call in plan.calls)
        return {
            "steps": plan.layout.steps,
            "count": data.steps,
            "forward": self._call(plan.forward) if plan.forward else None,
            "backward": self._call(plan.backward),
            "gives": list(plan.gives),
            "placed": {} if whole else {name: key for name, key in self.parameters.items() if name not in handed},
            "top": list(plan.top),
            "sizes": {name: self._size(ours) for name, ours in plan.sizes},
            "globals": {name: self.slot(ref) for name, ref in plan.read},
            "start": {name: self._kept(f"start.{name}", form.single(data.state[name])) for name in states},
            "final": {name: self._kept(f"final.{name}", form.single(data.dstate[name])) for name in states},
            "states": {} if plan.layout.steps == ALL else self._states(),
            "sent": {} if plan.layout.steps == ALL else self._sent(),
        }

    def _states(self) -> dict[str, list[str]]:
        """Where the states of a step are in the answer of forward."""
        if self.plan.forward is None:
            return {}
        plan, names = self.plan, self.side.graph.states
        found: dict[str, list[str]] = {}
        for position, name in enumerate(plan.gives):
            ref = dict(plan.meant).get(name)
            if ref is not None and ref.kind == VALUE and ref.name in names:
                found[ref.name] = [str(position)] if len(plan.gives) > 1 else []
        lost = [name for name in names if name not in found]
        if lost:
            results = ", ".join(plan.gives) or "its results"
            raise ForeignError(f"{plan.forward} does one step, and which of {results} is {lost[0]}? "
                               f"Say it: gives: [{', '.join(names)}, cache]")
        return found

    def _sent(self) -> dict[str, list[str]]:
        """Where the gradients for the step before are in the answer of backward."""
        names = self.side.graph.states
        found: dict[str, list[str]] = {}
        for keys, ref in self._announced():
            if ref.kind == SENT and ref.name in names:
                found.setdefault(ref.name, keys)
        lost = [name for name in names if name not in found]
        if lost:
            raise ForeignError(
                f"{self.plan.backward} does one step, and its answer has no gradient of {lost[0]}[t-1] that can be told: "
                f"say which it is: gradients: {{NAME: \"{lost[0]}[t-1]\"}}, or a list for a tuple"
            )
        return found

    def _announced(self) -> list[tuple[list[str], Ref]]:
        """The parts of backward's answer whose meaning is known before it is run."""
        layout, graph, returns = self.plan.layout, self.side.graph, self.plan.returns
        found: list[tuple[list[str], Ref]] = []
        for name, said in layout.gradients or ():
            ref = of_answer(said, graph)
            if ref is not None:
                found.append(([str(returns.index(name))] if name in returns and len(returns) > 1 else [name], ref))
        for position, name in enumerate(returns):
            ref = of_answer(name, graph) if layout.answer else answered(name, graph)
            if name and ref is not None:
                found.append(([str(position)] if len(returns) > 1 else [], ref))
        return found + [([key], ref) for key in self.plan.keys if (ref := answered(key, graph)) is not None]

    def _call(self, call: Called) -> dict[str, Any]:
        arguments = [self.slot(ref) for argument, ref in call.arguments if not argument.keyword]
        keywords = {argument.keyword: self.slot(ref) for argument, ref in call.arguments if argument.keyword}
        made = [self.slot(ref) for _, ref in call.make]
        return {"path": list(call.path), "make": made, "arguments": arguments, "keywords": keywords}

    def _size(self, name: str) -> int:
        own = dict(self.side.sizes)
        return own[name] if name in own else {"T": self.data.steps, "B": self.data.batch}[name]

    def slot(self, ref: Ref) -> dict[str, Any]:
        """What the driver makes of one argument."""
        data, form, each = self.data, self.side.form, self.plan.each
        match ref.kind:
            case "params":
                return {"kind": "list", "keys": self._listed(ref.name)} if ref.name else {
                    "kind": "dict", "keys": self.parameters}
            case "states":
                return {"kind": "dict", "keys": self._all("state", data.state)}
            case "dstates":
                return {"kind": "dict", "keys": self._all("dstate", data.dstate)}
            case "parameter":
                return {"kind": "array", "key": self.parameters[ref.name], "parameter": ref.name}
            case "given":
                return {"kind": "given", "name": ref.name}
            case "number":
                return {"kind": "number", "text": ref.name, "number": None if ref.name in WORDS else _number(ref.name)}
            case "size":
                return {"kind": "number", "text": ref.name, "number": self._size(ref.name)}
            case "tokens":
                array = data.inputs[ref.name].argmax(-1)[..., None].astype(float)
                tokens = (form.steps if each else form.sequence)(array).reshape(self._tokens_shape(form, each)).astype(int)
                self.arrays[f"{self.prefix}tokens.{ref.name}"] = tokens
                return {"kind": "integers", "key": f"{self.prefix}tokens.{ref.name}", "step": each}
            case "last":
                if each:
                    raise ForeignError(f"'{ref}' is of all steps together, and {self.plan.backward} does one")
                return {"kind": "array", "key": self._kept(f"last.{ref.name}", form.single(data.dy[ref.name][-1]))}
            case "before":
                if each:
                    return {"kind": "carried", "name": ref.name}
                return {"kind": "array", "key": self._kept(f"state.{ref.name}", form.many(data.state[ref.name]))}
            case "final":
                if each:
                    return {"kind": "carried", "name": ref.name}
                return {"kind": "array", "key": self._kept(f"dstate.{ref.name}", form.many(data.dstate[ref.name]))}
        return self._of_steps(ref)

    def _listed(self, names: str) -> list[str]:
        """The keys of their parameters in the order in which they take them apart."""
        for name in names.split():
            if name not in self.parameters:
                raise ForeignError(f"which of ours is '{name}', which {self.plan.backward} takes out of a list? "
                                   f"Say it under 'parameters:'")
        return [self.parameters[name] for name in names.split()]

    def _all(self, kind: str, values: Mapping[str, np.ndarray]) -> dict[str, str]:
        return {name: self._kept(f"{kind}.{name}", self.side.form.single(array)) for name, array in values.items()}

    def _tokens_shape(self, form: Form, each: bool) -> tuple[int, ...]:
        steps, batch = self.data.steps, self.data.batch
        if form.batch == ONE:
            return (steps,)
        return (batch, steps) if form.batch == "first" and not each else (steps, batch)

    def _of_steps(self, ref: Ref) -> dict[str, Any]:
        data, form, each = self.data, self.side.form, self.plan.each
        if ref.kind in (VALUE, ONE_HOT) and ref.name in data.inputs:
            array = data.inputs[ref.name]
        elif ref.name in data.dy:
            array = data.dy[ref.name]
        else:
            told = f"'{ref}' cannot be handed over: {ref.name} is neither an input nor an output of this cell"
            raise ForeignError(f"{told}; in a layout file say what it is: names: {{...}}")
        key = self._kept(f"{ref.kind}.{ref.name}", (form.steps if each else form.sequence)(array))
        if each and ref.kind == ADJOINT and ref.name in self.side.graph.states:
            return {"kind": "arrived", "key": key, "name": ref.name}
        return {"kind": "array", "key": key, "step": each}


def _number(text: str) -> float | int:
    return int(text) if text.lstrip("+-").isdigit() else float(text)


def of_answer(said: str, graph: Graph) -> Ref | None:
    """What a layout says that a part of the answer is the gradient of, if that is no parameter: `x`, `h[t-1]`, `dh_prev`."""
    ref = read_ref(said, graph)
    if ref is not None and ref.kind == VALUE:
        return Ref(SENT, ref.name) if ref.name in graph.states else ref
    if ref is not None and ref.kind in (BEFORE, SENT):
        return Ref(SENT, ref.name)
    return answered(said, graph)


