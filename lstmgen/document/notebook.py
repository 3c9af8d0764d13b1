"""Shows a derivation and its parts as formulas in a notebook.

The records of a derivation know nothing of LaTeX. A contribution or a stage alone does not even know its cell, so it cannot
know its symbols. `displayable` makes the same records again, of classes that know both and have the `_repr_latex_` that a
notebook calls.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from ..derivation.chain import Contribution, Derivation, Gradient
from ..derivation.graph import Graph, Stage
from ..errors import SpecError
from ..printed import unstyled


@dataclass(frozen=True, repr=False, eq=False)
class ShownContribution(Contribution):
    """A contribution that knows the cell it belongs to."""

    cell: Graph = field(kw_only=True)

    def _repr_latex_(self) -> str | None:
        return formula(self, self.cell)


@dataclass(frozen=True, repr=False, eq=False)
class ShownGradient(Gradient):
    """A gradient that knows the cell it belongs to."""

    cell: Graph = field(kw_only=True)

    def _repr_latex_(self) -> str | None:
        return formula(self, self.cell)


@dataclass(frozen=True, repr=False, eq=False)
class ShownStage(Stage):
    """A stage that knows the cell it belongs to."""

    cell: Graph = field(kw_only=True)

    def _repr_latex_(self) -> str | None:
        return formula(self, self.cell)


@dataclass(frozen=True, repr=False, eq=False)
class ShownDerivation(Derivation):
    """A derivation that prints as `lstmgen show` does, and whose parts show as formulas."""

    def _repr_latex_(self) -> str | None:
        return formula(self, self.graph)

    def __str__(self) -> str:
        from .terminal.show import show_derivation

        return unstyled(show_derivation(self, unicode=True))


def displayable(derivation: Derivation) -> ShownDerivation:
    """The same derivation; it, its stages, gradients and contributions show as formulas in a notebook."""
    cell = derivation.graph

    def stage(plain: Stage) -> ShownStage:
        return ShownStage(plain.name, plain.expression, plain.shape, plain.owner, plain.place, cell=cell)

    def fork(plain: Contribution) -> ShownContribution:
        return ShownContribution(
            target=plain.target, reader=plain.reader, lag=plain.lag, position=plain.position, kind=plain.kind,
            local=plain.local, upstream=plain.upstream, at_reader=plain.at_reader, term=plain.term,
            over_time=plain.over_time, cell=cell,
        )

    def gradient(plain: Gradient) -> ShownGradient:
        return ShownGradient(plain.value, plain.shape, tuple(map(fork, plain.forks)), cell=cell)

    return ShownDerivation(
        graph=replace(cell, stages=tuple(map(stage, cell.stages))),
        stages=tuple(map(gradient, derivation.stages)),
        inputs=tuple(map(gradient, derivation.inputs)),
        parameters=tuple(map(gradient, derivation.parameters)),
        loss_stages=derivation.loss_stages,
        left_out=tuple(map(fork, derivation.left_out)),
    )


def formula(record: Derivation | Gradient | Contribution | Stage, graph: Graph) -> str | None:
    """The LaTeX for a notebook; None if the cell's notation gives one symbol to two names."""
    from .latex.records import latex_of

    try:
        latex = latex_of(record, graph)
    except SpecError:
        return None  # the notebook shows the record as text then
    latex = re.sub(r"\\bm(?![A-Za-z])", r"\\boldsymbol", latex)  # MathJax has no \\bm
    return rf"$\displaystyle {latex}$"
