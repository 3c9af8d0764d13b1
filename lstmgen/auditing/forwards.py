"""Mistakes that people make in a forward pass, each as another equation of one stage."""

from __future__ import annotations

from collections.abc import Iterator

from ..derivation.graph import Graph, Stage
from ..language.expressions import (
    Call, Expression, MatVec, Negative, Product, Sum, Value, negative, product, transform, values, walk,
)
from ..language.shapes import ShapeMismatch, shape_of
from .given import Change
from .slips import ACTIVATIONS, sites
from .spelling import Spelling
from .tries import Try
from .truth import Truth


class Forwards:
    """Every mistake in a forward pass that this module knows, for one cell."""

    def __init__(self, graph: Graph, truth: Truth):
        self.graph, self.truth, self.spelling = graph, truth, Spelling(graph)
        self.stages = [stage for stage in graph.stages if stage.name not in graph.static and stage.owner != graph.loss]

    def __iter__(self) -> Iterator[Try]:
        yield from self._carried()
        for stage in self.stages:
            for sentence, expression in self._of(stage):
                if expression != stage.expression and self._fits(stage, expression):
                    where = self.spelling(Value(stage.owner))
                    told = f"in the forward pass, in the equation of {where}: {sentence}"
                    yield Try(told, Change(equations={stage.name: expression}))

    def _carried(self) -> Iterator[Try]:
        """A function of a state that is carried in place of the state."""
        for state in self.graph.states:
            before = Value(state, -1)
            readers = [stage for stage in self.stages if before in values(stage.expression)]
            for function in ("tanh",):
                carried = Call(function, (before,))
                equations = {stage.name: _put(stage.expression, before, carried) for stage in readers}
                told = f"in the forward pass: {function}({self.spelling(Value(state))}) is carried to the next step"
                yield Try(told, Change(equations=equations), True)

    def _of(self, stage: Stage) -> Iterator[tuple[str, Expression]]:
        whole = stage.expression
        for node, put in sites(whole):
            match node:
                case Product(factors=factors):
                    for index, factor in enumerate(factors):
                        rest = product(*factors[:index], *factors[index + 1:])
                        yield f"the factor {self._told(factor)} is missing", put(rest)
                case Sum(terms=terms):
                    for index, term in enumerate(terms):
                        others = terms[:index] + terms[index + 1:]
                        smaller = others[0] if len(others) == 1 else Sum(others)
                        bare = term.operand if isinstance(term, Negative) else term
                        yield f"{self._told(bare)} is missing", put(smaller)
                        signs = terms[:index] + (negative(term),) + terms[index + 1:]
                        yield f"the sign of {self._told(bare)} is wrong", put(Sum(signs))
                case Call(function=function, arguments=(argument,)) if function in ACTIVATIONS:
                    other = next(each for each in ACTIVATIONS if each != function)
                    yield f"{other} is written, not {function}", put(Call(other, (argument,)))
                    yield f"the {function} is missing", put(argument)
                case MatVec(matrix=Value() as matrix, vector=vector):
                    turned = Call("transpose", (matrix,))
                    yield f"{self._told(matrix)} is transposed, and should not be", put(MatVec(turned, vector))
        for leaf in dict.fromkeys(node for node in walk(whole) if isinstance(node, Value)):
            for alike in self._alike(leaf):
                yield f"{self._told(leaf)} belongs there, not {self._told(alike)}", _put(whole, leaf, alike)

    def _alike(self, leaf: Value) -> Iterator[Value]:
        """What may stand there by mistake: of the same shape, another parameter, or a value at hand."""
        graph, shape = self.graph, self.graph.shapes[leaf.name]
        if leaf.name in graph.parameters:
            yield from (Value(name) for name in graph.parameters if name != leaf.name and graph.shapes[name] == shape)
            return
        others = [Value(name, -1) for name in graph.states] + [Value(name) for name in graph.inputs]
        others += [Value(stage.name) for stage in self.stages]
        yield from (other for other in others if other != leaf and graph.shapes[other.name] == shape)

    def _fits(self, stage: Stage, expression: Expression) -> bool:
        """Whether it has the shape, and reads nothing of this step that comes later."""
        names = [each.name for each in self.graph.stages]
        later = set(names[names.index(stage.name):])
        if any(value.lag == 0 and value.name in later for value in values(expression)):
            return False
        try:
            return shape_of(expression, self.graph.shapes) == self.graph.shapes[stage.name]
        except (ShapeMismatch, TypeError, KeyError, ValueError):
            return False

    def _told(self, expression: Expression) -> str:
        return self.spelling(self.truth.inlined(expression))


def _put(whole: Expression, old: Expression, new: Expression) -> Expression:
    return transform(whole, lambda node: new if node == old else None)
