"""A scene as claims see it: what an expression of the language of claims stands for at several steps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..derivation.chain import OUTPUT, START, Contribution, Derivation
from ..language.expressions import Adjoint, Call, Expression, MatVec, Number, Value, children, rebuild, substitute
from ..language.shapes import SCALAR, Shape, ShapeMismatch, shape_of
from .arrays import diagonal
from .forms import DIAG, PARTIAL, STEP, SUM_T, TOTAL, VIA, named_stages, step_of
from .jacobian import Jacobian
from .scene import Rows, Scene


class Unsayable(ShapeMismatch):
    """A form for which the language of claims has no shape; the claim gets no verdict."""


@dataclass(frozen=True)
class _Form:
    """What a form that the language does not have stands for."""

    shape: Shape
    array: np.ndarray


class View(Rows):
    """What an expression of the language of claims stands for at several steps."""

    def __init__(self, scene: Scene, steps: Sequence[int]):
        super().__init__(scene, tuple(steps))
        self.shapes: dict[str, Shape] = dict(scene.graph.shapes)
        self._forms: dict[Expression, Value] = {}

    @classmethod
    def everywhere(cls, scene: Scene) -> View:
        """From every step."""
        return cls(scene, range(1, scene.steps + 1))

    def evaluate(self, expression: Expression) -> np.ndarray:
        """The value of an expression of the language or of a claim."""
        return super().evaluate(self._plain(expression))

    def shape(self, expression: Expression) -> Shape:
        """Its shape in symbols; raises `ShapeMismatch`."""
        return shape_of(self._plain(expression), self.shapes)

    # ------------------------------------------------------------------ what only claims can say

    def _plain(self, expression: Expression) -> Expression:
        """The expression with an array's name for every form that the language does not have."""
        found = self._forms.get(expression)
        if found is not None:
            return found
        if isinstance(expression, Call) and expression.function in (SUM_T, VIA, PARTIAL, TOTAL, DIAG):
            return self._named(expression, self._form(expression))
        parts = children(expression)
        plain = tuple(map(self._plain, parts))
        whole = expression if plain == parts else rebuild(expression, plain)
        if isinstance(whole, MatVec):
            left, right = (shape_of(part, self.shapes) for part in plain)
            if len(left) == len(right) == 2:
                return self._named(expression, self._matmat(whole, left, right))
            if (len(left), len(right)) == (1, 2):  # a row vector times a matrix
                return MatVec(Call("transpose", (whole.vector,)), whole.matrix, whole.at)
        return whole

    def told(self, message: str, spell: Callable[[Expression], str]) -> str:
        """A message of a mismatch, with what was written in place of the names of arrays."""
        written = {leaf.name: spell(form) for form, leaf in self._forms.items()}
        return re.sub(r"#\d+", lambda match: written.get(match[0], match[0]), message)

    def _named(self, form: Expression, meaning: _Form) -> Value:
        leaf = Value(f"#{len(self._forms)}")
        self.shapes[leaf.name] = meaning.shape
        self._arrays[leaf] = np.broadcast_to(meaning.array, (self.rows, *meaning.array.shape[1:]))
        self._forms[form] = leaf
        return leaf

    def _matmat(self, product: MatVec, left: Shape, right: Shape) -> _Form:
        if left[1] != right[0]:
            raise ShapeMismatch(product, f"a matrix of {left[1]} columns times one of {right[0]} rows")
        first, second = self.evaluate(product.matrix), self.evaluate(product.vector)
        return _Form((left[0], right[1]), (first[:, :, :, None] * second[:, None, :, :]).sum(-2))

    def _form(self, call: Call) -> _Form:
        match call:
            case Call(function="sum_t", arguments=(summed,)):
                # step 0: what reaches an initial state that is learned
                static = isinstance(summed, Adjoint) and summed.name in self.scene.graph.static
                return self._summed(summed, 0 if static else 1, self.scene.steps)
            case Call(function="sum_t", arguments=(summed, Number(value=low), Number(value=high))):
                return self._summed(summed, int(low), int(high))
            case Call(function="via", arguments=(Adjoint() as target, Value() as reader)):
                return self._via(target, reader)
            case Call(function="partial" | "total", arguments=(Value() as above, Value() as below)):
                return self._derivative(call, above, below)
            case Call(function="diag", arguments=(vector,)):
                shape = self.shape(vector)
                if len(shape) != 1:
                    raise ShapeMismatch(call, "diag takes a vector")
                return _Form(shape * 2, diagonal(self.evaluate(vector), self.scene.math))
        raise TypeError(f"no form: {call!r}")

    def _summed(self, summed: Expression, low: int, high: int) -> _Form:
        shape, key = self.shape(summed), (summed, low, high)
        if key not in self.scene.sums:  # the same from each step: one inside the other would take for ever
            steps = [View(self.scene, (step,)).evaluate(summed) for step in range(low, high + 1)]
            empty = 0 * self.evaluate(summed)[: self.scene.points]
            self.scene.sums[key] = sum(steps[1:], steps[0]) if steps else empty
        return _Form(shape, np.concatenate([self.scene.sums[key]] * len(self.steps)))

    def _via(self, target: Adjoint, reader: Value) -> _Form:
        scene = self.scene
        there = View(scene, [step_of(target.lag, step) for step in self.steps])
        whole = np.concatenate([scene.zeros(target.name)] * len(self.steps))
        for fork, share in forks_via(scene.derivation, target, reader):
            if share is None:
                whole = whole + scene.contribution(fork, there)
            else:
                term = there.spread(there.evaluate(share), scene.size(target.name))
                whole = whole + there.only(term, [scene.happens(fork, step) for step in there.steps])
        return _Form(scene.graph.shapes[target.name], whole)

    def _derivative(self, call: Call, above: Value, below: Value) -> _Form:
        shapes = self.scene.graph.shapes
        shape = shapes[above.name] + shapes[below.name]
        if len(shape) > 2:
            told = f"{call.function}({above.name}, {below.name}) has {len(shape)} axes, and a claim is a vector or a matrix"
            raise Unsayable(call, told, f"claim d_{below.name}, what reaches {below.name} through all readers")
        immediate = call.function == PARTIAL
        array = np.concatenate([
            Jacobian(self.scene, above.name, step_of(above.lag, step), immediate).by(below.name, step_of(below.lag, step))
            for step in self.steps
        ])
        if shapes[above.name] == shapes[below.name] != SCALAR and _is_diagonal(array):
            return _Form(shapes[above.name], np.einsum("nii->ni", array))
        return _Form(shape, array)


def forks_via(
    derivation: Derivation, target: Adjoint, reader: Value
) -> Iterator[tuple[Contribution, Expression | None]]:
    """The branches of a fork that go through one equation, or into one step.

    A branch may lead to a stage without a name that several equations read. Then only a part of its contribution comes
    through this equation, and the expression is that part.
    """
    gradient, graph = derivation.adjoints.get(target.name), derivation.graph
    named = named_stages(graph)
    ahead = reader.lag - target.lag
    for fork in gradient.forks if gradient else ():
        stage = graph.find(fork.reader)
        if reader.name == STEP:
            if fork.lag == ahead and fork.kind != START:
                yield fork, None
        elif stage is None or fork.kind in (OUTPUT, START):
            continue
        elif fork.reader in named:
            if fork.lag == ahead and reader.name in (fork.reader, stage.owner):
                yield fork, None
        elif 0 <= ahead - fork.lag <= 1 and fork.reader not in derivation.loss_stages:
            yield fork, _share(fork, Value(reader.name, ahead))


def _share(fork: Contribution, reader: Value) -> Expression:
    through = Adjoint(fork.reader, fork.lag)
    share = Call(VIA, (through, reader))
    return substitute(fork.term, through, share)


def _is_diagonal(array: np.ndarray) -> bool:
    size = array.shape[-1]
    off = array[:, ~np.eye(size, dtype=bool)]
    return bool(np.all(off == 0))
