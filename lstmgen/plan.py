"""From a derivation to a plan of the computation, the same for every output.

The plan decides, once: the number of each equation; what can be computed for all steps at once, before
the loop over time or after it; what the backward pass reads and the tape therefore keeps; which matrix
products share their vector and are stacked into one. It spells nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import permutations

from .chain import OUTER, TRANSPOSED, Contribution, Derivation, Gradient
from .expressions import Adjoint, Expression, MatVec, Sum, Value, values, walk
from .graph import Graph, Stage
from .shapes import Dim

STILL = "still"  # made of parameters alone: computed once
BEFORE = "before"  # made of inputs alone: computed for all steps at once, before the loop
LOOP = "loop"  # needs the step before
AFTER = "after"  # no state needs it: computed for all steps at once, after the loop
LAST = "last"  # the same, at the last step alone: what only a loss at the last step reads


@dataclass(frozen=True)
class Factor:
    """One matrix product `W_i @ x` inside a stack: the stage it adds to, and the parameter."""

    stage: str
    parameter: str


@dataclass(frozen=True)
class Stack:
    """Matrix products of one vector, done as one: their parameters are stored under each other.

    A single product is a stack of one and keeps its parameter's name.
    """

    name: str  # of the stored parameter
    vector: Value
    factors: tuple[Factor, ...]  # from the top; contiguous in the block
    phase: str  # of the stages that read it


@dataclass(frozen=True)
class BiasStack:
    """Biases of neighbouring stages of a block, stored as one vector."""

    name: str
    factors: tuple[Factor, ...]


@dataclass(frozen=True)
class Block:
    """Stages whose adjoints lie side by side in one array, so that each stack meets a slice of it."""

    stages: tuple[str, ...]
    stacks: tuple[Stack, ...]
    biases: tuple[BiasStack, ...]
    phase: str


@dataclass(frozen=True)
class Plan:
    derivation: Derivation
    numbers: Mapping[str, int]  # of the equation that computes a stage
    gradient_numbers: Mapping[str, int]  # of the equation that gives a gradient
    phases: Mapping[str, str]  # of each stage: one of the five above
    blocks: tuple[Block, ...]
    kept: tuple[str, ...]  # stages whose values the backward pass reads, in order of evaluation
    remembered: tuple[str, ...]  # stages whose adjoints are needed for all steps after the loop
    uses_exact_sigmoid: bool  # a sigmoid is divided by, or its logarithm taken

    @property
    def graph(self) -> Graph:
        return self.derivation.graph

    def stages_in(self, *phases: str) -> tuple[Stage, ...]:
        return tuple(stage for stage in self.graph.stages if self.phases[stage.name] in phases)

    def gradients_in(self, *phases: str) -> tuple[Gradient, ...]:
        """Gradients of the stages of a phase, in the order in which they become complete."""
        return tuple(gradient for gradient in self.derivation.stages if self.phases[gradient.value] in phases)


def make_plan(derivation: Derivation) -> Plan:
    """Decide how a derivation is computed."""
    graph = derivation.graph
    phases = _phases(derivation)
    forward = {stage.name: number for number, stage in enumerate(graph.stages, 1)}
    gradients = (*derivation.stages, *derivation.inputs, *derivation.parameters)
    backward = {gradient.value: number for number, gradient in enumerate(gradients, len(forward) + 1)}
    blocks = _blocks(graph, phases)
    return Plan(
        derivation=derivation,
        numbers=forward,
        gradient_numbers=backward,
        phases=phases,
        blocks=blocks,
        kept=_kept(derivation, phases),
        remembered=_remembered(derivation, phases),
        uses_exact_sigmoid=_divides(graph),
    )


# ---------------------------------------------------------------- phases


def _phases(derivation: Derivation) -> dict[str, str]:
    graph = derivation.graph
    feeding: set[str] = set(graph.states)  # what some state depends on
    for stage in reversed(graph.stages):
        if stage.name in feeding:
            feeding.update(value.name for value in values(stage.expression))
    last = derivation.loss_stages if graph.spec.loss_at == "last" else frozenset()
    early = set(graph.inputs)
    phases = {}
    for stage in graph.stages:
        read = values(stage.expression)
        if stage.name in graph.static:
            phase = STILL
        elif stage.name in last:
            phase = LAST
        elif stage.name not in graph.states and all(
            not value.lag and (value.name in early or value.name in graph.static) for value in read
        ):
            phase = BEFORE
            early.add(stage.name)
        else:
            phase = LOOP if stage.name in feeding else AFTER
        phases[stage.name] = phase
    return phases
