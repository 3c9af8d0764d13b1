"""The direct interpreter: what the text of a spec means, one step after the other.

The proofs compare everything else with it. So it shares neither graph nor schedule nor printer with the rest: it parses the
equations itself, orders them itself, and looks up constants, functions and sizes itself.

Arrays are those of one example. With `leading=1` every array has one more axis in front, of length 1 or N, for N examples
at once; their parameters may differ, too. So many perturbed copies are computed together.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np

from ..errors import Mistakes, Text
from ..language.evaluate import RELATIONS, Evaluator, Floats, Leaf, exact
from ..language.expressions import Body, Expression, values
from ..language.parse import parse
from ..language.functions import Real
from ..spec.cell import ArrayConstant, CellSpec
from .clipping import moved


Arrays = Mapping[str, np.ndarray]
Branches = Mapping[tuple[str, int], tuple[bool, bool]]
"""Of each choice of an equation, counted as they come up: was it ever true, ever false."""


@dataclass(frozen=True)
class Run:
    """The results of the equations."""

    outputs: tuple[dict[str, np.ndarray], ...]  # by step, by name
    state: dict[str, np.ndarray]  # after the last step
    loss: np.ndarray | None  # summed over the steps, where the spec has one
    steps: tuple[dict[str, np.ndarray], ...]  # every equation's value, by step
    held: tuple[np.ndarray, ...]  # the arguments of stop_gradient and clip_gradient, in the order of evaluation
    branches: Branches


class Interpreter:
    """The forward pass that the text of a spec describes."""

    def __init__(self, spec: CellSpec, sizes: Mapping[str, int], arithmetic: Floats, leading: int = 0):
        self.spec, self.sizes, self.leading = spec, dict(sizes), leading
        self.math = copy.copy(arithmetic)
        changed: Any = self.math
        changed.hold, changed.passed, changed.select = self._hold, self._passed, self._select
        self._plain_select = arithmetic.select
        self.constants = {constant.name: constant.value for constant in spec.constants}
        self.arrays = {item.name: self._array(item) for item in spec.arrays}
        self.function_names = [function.name for function in spec.functions]
        self.own = {
            function.name: Body(function.arguments, self._parsed(function.body)) for function in spec.functions
        }
        self.bodies = {equation.name: self._parsed(equation.body) for equation in spec.equations}
        self.order = _order(self.bodies)
        self.loss = None if spec.loss is None else self._parsed(spec.loss)

    def run(
        self,
        parameters: Arrays,
        inputs: Sequence[Arrays],
        state: Arrays,
        held: Sequence[np.ndarray] | None = None,
    ) -> Run:
        """`inputs` are one step's inputs and targets after the other. A state that is not given starts as
        the spec says. `held` is that of the run whose stop_gradients this one shares."""
        self._held: list[np.ndarray] = []
        self._given = None if held is None else iter(held)
        self._branches: dict[tuple[str, int], tuple[bool, bool]] = {}
        before = self._starts(parameters) | dict(state)
        steps: list[dict[str, np.ndarray]] = []
        losses: list[np.ndarray] = []
        for step, arrived in enumerate(inputs):
            now = self.arrays | dict(parameters) | dict(arrived)
            for name in self.order:
                now[name] = self._evaluated(name, self.bodies[name], now, before)
            if self.loss is not None and (self.spec.loss_at == "every" or step == len(inputs) - 1):
                losses.append(self._evaluated("", self.loss, now, before))
            steps.append({name: now[name] for name in self.order})
            before = {item.name: now[item.name] for item in self.spec.states}
        outputs = tuple({output.name: step[output.name] for output in self.spec.outputs} for step in steps)
        loss = reduce(np.add, losses) if losses else None
        return Run(outputs, before, loss, tuple(steps), tuple(self._held), self._branches)

    def _parsed(self, text: Text) -> Expression:
        mistakes = Mistakes(self.spec.path, self.spec.source)
        expression = parse(text, mistakes, self.function_names)
        if expression is None:
            raise mistakes.error()
        return expression

    def _evaluated(self, name: str, body: Expression, now: Arrays, before: Arrays) -> np.ndarray:
        def look_up(leaf: Leaf) -> np.ndarray:
            return now[leaf.name] if leaf.lag == 0 else before[leaf.name]

        self._choice = (name, 0)
        return Evaluator(look_up, self.math, self.sizes, self.leading, self.own, self.constants).value(body)

    def _starts(self, parameters: Arrays) -> dict[str, np.ndarray]:
        given = {item.state: item.start for item in self.spec.initial}
        return {
            item.name: self._start(given.get(item.name, Fraction(0)), item.shape, parameters)
            for item in self.spec.states
        }

    def _start(self, start: Fraction | float | str, axes: tuple[Text, ...], parameters: Arrays) -> np.ndarray:
        if isinstance(start, str):
            return parameters[start]
        shape = tuple(int(exact(self._parsed(axis), self.sizes)) for axis in axes)
        return self.math.array(np.full((1,) * self.leading + shape, self.math.number(start)))

    def _array(self, constant: ArrayConstant) -> np.ndarray:
        entries = self.math.array([self.math.number(entry) for entry in constant.entries])
        shape = (constant.rows, -1) if constant.rows else (-1,)
        return entries.reshape((1,) * self.leading + shape)

    def _hold(self, array: np.ndarray) -> np.ndarray:
        kept = array if self._given is None else next(self._given)
        self._held.append(kept)
        return kept

    def _passed(self, array: np.ndarray, bound: Real) -> np.ndarray:
        kept = self._hold(array)
        return array if self._given is None else self.math.array(moved(array, kept, bound))

    def _select(
        self, relation: str, left: np.ndarray, right: np.ndarray, chosen: np.ndarray, other: np.ndarray
    ) -> np.ndarray:
        holds = np.asarray(RELATIONS[relation](left, right), bool)
        yes, no = self._branches.get(self._choice, (False, False))
        self._branches[self._choice] = (yes or bool(holds.any()), no or not holds.all())
        self._choice = (self._choice[0], self._choice[1] + 1)
        return self._plain_select(relation, left, right, chosen, other)


def _order(bodies: Mapping[str, Expression]) -> list[str]:
    """The equations in an order in which each comes after the values of its step that it reads."""
    needs = {
        name: [value.name for value in values(body) if value.name in bodies and not value.lag]
        for name, body in bodies.items()
    }
    order: dict[str, None] = {}
    for start in bodies:
        ahead = [start]
        while ahead:
            if len(ahead) > len(bodies) + 1:
                raise ValueError(f"the equations need each other within one step: {', '.join(ahead[-3:])}")
            following = next((need for need in needs[ahead[-1]] if need not in order), None)
            if following is None:
                order[ahead.pop()] = None
            else:
                ahead.append(following)
    return list(order)
