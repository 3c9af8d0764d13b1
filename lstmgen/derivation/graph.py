"""The computational graph of one step: what `build.py` makes of a spec, and what everything after it reads.

The graph is in a normal form, so that its derivative can be read: every call is a stage of its own, and so is every
argument of a call that is more than a name. Then a stage is one of three things:

* an affine map plus elementwise terms: `i_pre = W_i @ x + R_i @ h[t-1] + p_i * c[t-1] + b_i`,
* a call with named values: `i = sigmoid(i_pre)`,
* elementwise algebra: `c = z * i + c[t-1] * f`.

The expressions say which stage reads which value, and how many steps later: a `Value` has a lag. Nothing here
differentiates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from ..errors import Place
from ..language.expressions import Call, Expression, MinusInfinity, Number, Value, values
from ..language.functions import MAKERS
from ..language.shapes import Shape
from ..language.text import source
from ..printed import counted, shortened
from ..spec.cell import CellSpec


Start = Number | MinusInfinity | Value
"""What a state starts from: a number in every entry, or a parameter."""


def start_number(start: Number | MinusInfinity) -> float:
    """The number in every entry."""
    return float(start.value) if isinstance(start, Number) else -math.inf


@dataclass(frozen=True)
class Stage:
    """One line of the forward pass: a name and how it is computed."""

    name: str
    expression: Expression  # in normal form; reads values by name and lag
    shape: Shape  # of one example, without time and batch
    owner: str  # the equation that it comes from; its own name if it is an equation
    place: Place  # of that equation

    @property
    def function(self) -> str:
        """The function that it calls; "" for algebra and for a matrix product."""
        return self.expression.function if isinstance(self.expression, Call) else ""

    def __str__(self) -> str:
        return f"{self.name} = {source(self.expression)}"

    def __repr__(self) -> str:
        return shortened(f"<Stage {self}>")


@dataclass(frozen=True)
class Reader:
    """A stage that reads a value, `lag` steps after the value was computed."""

    stage: str
    lag: int


@dataclass(frozen=True)
class Graph:
    """One step of a cell. Tuples of names are in the spec's order."""

    spec: CellSpec
    dims: tuple[tuple[str, str], ...]  # (symbol, keyword of the module)
    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    parameters: tuple[str, ...]
    states: tuple[str, ...]
    stages: tuple[Stage, ...]  # in an order in which they can be computed
    outputs: tuple[str, ...]
    loss: str | None  # the stage that holds the loss of one step
    initial: tuple[tuple[str, Start], ...]  # what each state starts from, if none is given
    static: frozenset[str]  # static values: parameters, and stages made of them alone
    shapes: Mapping[str, Shape]  # of every value

    def stage(self, name: str) -> Stage:
        """The stage of a name that is known to be one; a `KeyError` where it is an input's or a parameter's."""
        return self._by_name[name]

    def find(self, name: str) -> Stage | None:
        """The stage of any value's name; None where it is an input, a target or a parameter."""
        return self._by_name.get(name)

    @cached_property
    def made(self) -> frozenset[str]:
        """The stages that are constant arrays: made of numbers and sizes alone, so nothing goes back to them."""
        return frozenset(stage.name for stage in self.stages if stage.function in MAKERS)

    @property
    def has_loss_at_last(self) -> bool:
        """Whether the loss is that of the last step alone."""
        return self.loss is not None and self.spec.loss_at == "last"

    def readers(self, name: str) -> tuple[Reader, ...]:
        """The stages that read a value, in order of evaluation; those of the next step last."""
        return self._readers.get(name, ())

    def is_cut(self, name: str) -> bool:
        """Whether a value is only cut into parts that do not overlap: then it has several readers, and is no fork."""
        readers = self.readers(name)
        if len(readers) < 2 or any(reader.lag for reader in readers) or name in (*self.outputs, *self.static):
            return False
        parts = [self._by_name[reader.stage].expression for reader in readers]
        cuts = [part.arguments[1:] for part in parts if isinstance(part, Call) and part.function == "part"]
        return len(cuts) == len(parts) == len(set(cuts)) and len({count for _, count in cuts}) == 1

    @cached_property
    def _by_name(self) -> dict[str, Stage]:
        return {stage.name: stage for stage in self.stages}

    @cached_property
    def _readers(self) -> dict[str, tuple[Reader, ...]]:
        found: dict[str, list[Reader]] = {}
        for stage in self.stages:
            for value in values(stage.expression):
                found.setdefault(value.name, []).append(Reader(stage.name, -value.lag))
        return {name: tuple(sorted(readers, key=lambda reader: reader.lag)) for name, readers in found.items()}

    def __repr__(self) -> str:
        return f"<Graph of {self.spec.name}: {counted(len(self.stages), 'stage')}>"
