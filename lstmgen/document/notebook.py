"""Shows a derivation and its parts as formulas in a notebook.

The records know nothing of LaTeX, and a fork or a stage alone does not know its cell either, so that it
could not name its symbols. Both are given to the records of one derivation here: a notebook asks an
object for `_repr_latex_`, and finds it.
"""

from __future__ import annotations

import re
from functools import partial

from ..derivation.chain import Contribution, Derivation, Gradient
from ..derivation.graph import Graph, Stage
from ..errors import SpecError


def displayable(derivation: Derivation) -> Derivation:
    """The same derivation; it, its stages, gradients and forks now show as formulas in a notebook."""
    gradients = derivation.adjoints.values()
    for record in (derivation, *derivation.graph.stages, *gradients, *derivation.contributions()):
        # not a field: what a record says, equals and hashes to stays what it was
        object.__setattr__(record, "_repr_latex_", partial(formula, record, derivation.graph))
    return derivation


def formula(record: Derivation | Gradient | Contribution | Stage, graph: Graph) -> str | None:
    """The LaTeX that a notebook renders; None where the cell's notation gives two names one symbol."""
    from .latex.printer import latex_of

    try:
        latex = latex_of(record, graph)
    except SpecError:
        return None  # the notebook shows the record as text then
    latex = re.sub(r"\\bm(?![A-Za-z])", r"\\boldsymbol", latex)  # MathJax has no \\bm
    return rf"$\displaystyle {latex}$"
