"""The proofs: what a derivation and its module are compared with.

0. Meaning: the module's forward pass is what the interpreted text of the spec says.
1. Complex step: the module's gradients are the derivatives of its own forward pass.
2. High precision: the derived equations are the derivatives of the interpreted text, in 90 digits.
3. Splitting: one pass over the steps equals two passes that hand on the state and its gradient.
4. Knock-out: without any one contribution, some gradient is different.

No proof shares code with the derivation. Points are drawn with a fixed seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np

from ..derivation.chain import Derivation
from ..derivation.graph import Graph
from ..numerics.points import BATCH, STEPS
from .clipping import CALL
from .derivation import DerivationProofs
from .module import ModuleProofs
from .verdict import BOUNDS, COMPLEX_STEP, HIGH_PRECISION, KNOCK_OUT, MEANING, SPLITTING, Figure, Verdict


def verify(graph: Graph, derivation: Derivation, module: ModuleType) -> Verdict:
    """All five proofs."""
    derived = DerivationProofs(graph, derivation)
    built = ModuleProofs(graph, module)
    figures = [
        *_guarded(MEANING, built.meaning),
        *_guarded(COMPLEX_STEP, built.complex_step),
        *_guarded(COMPLEX_STEP, lambda: built.clipped(derivation)),
        *_guarded(HIGH_PRECISION, derived.high_precision),
        *_guarded(SPLITTING, built.splitting),
        *_guarded(KNOCK_OUT, derived.knock_out),
    ]
    return Verdict(
        figures=tuple(figures),
        forks=len(derived.forks),
        entries=derived.entries,
        module_entries=built.entries,
        points=len(derived.points),
        redraws=derived.redraws + built.redraws,
        sizes=derived.sizes,
        module_sizes=built.sizes,
        steps=STEPS,
        module_steps=built.steps,
        batch=BATCH,
        untaken=derived.untaken,
        replaced=tuple(dict.fromkeys(stage.owner for stage in graph.stages if stage.function == "surrogate")),
        clipped=tuple(dict.fromkeys(stage.owner for stage in graph.stages if stage.function == CALL)),
        saturated=() if all(figure.passed for figure in figures) else derived.saturated(),
    )


def verify_target(graph: Graph, module: ModuleType, reference: ModuleType) -> tuple[Figure, ...]:
    """Proofs 0 and 3 of a module of another target, and in place of proof 1 its gradients beside the NumPy module's."""
    built, proved = ModuleProofs(graph, module), ModuleProofs(graph, reference)
    return (
        *_guarded(MEANING, built.meaning),
        *_guarded(COMPLEX_STEP, lambda: built.agreement(proved)),
        *_guarded(SPLITTING, built.splitting),
    )


def high_precision(graph: Graph, derivation: Derivation) -> tuple[Figure, ...]:
    """Proof 2 alone."""
    return tuple(_guarded(HIGH_PRECISION, DerivationProofs(graph, derivation).high_precision))


def knock_out(graph: Graph, derivation: Derivation) -> tuple[Figure, ...]:
    """Proof 4 alone: one figure for each contribution."""
    return tuple(_guarded(KNOCK_OUT, DerivationProofs(graph, derivation).knock_out))


def meaning(graph: Graph, module: ModuleType) -> tuple[Figure, ...]:
    """Proof 0 alone."""
    return tuple(_guarded(MEANING, ModuleProofs(graph, module).meaning))


def complex_step(graph: Graph, module: ModuleType) -> tuple[Figure, ...]:
    """Proof 1 alone."""
    return tuple(_guarded(COMPLEX_STEP, ModuleProofs(graph, module).complex_step))


def splitting(graph: Graph, module: ModuleType) -> tuple[Figure, ...]:
    """Proof 3 alone."""
    return tuple(_guarded(SPLITTING, ModuleProofs(graph, module).splitting))


def _guarded(proof: int, prove: Callable[[], Iterator[Figure]]) -> list[Figure]:
    """The figures of a proof. If the module or the derivation raises anything, the proof has failed."""
    figures: list[Figure] = []
    with np.errstate(all="ignore"):  # points where something overflows are drawn again
        try:
            figures.extend(prove())
        except Exception as error:  # generated code may raise anything
            told = f"{type(error).__name__}: {error}".splitlines()[0]
            figures.append(Figure(proof, told, math.inf, BOUNDS[proof], False))
    return figures
