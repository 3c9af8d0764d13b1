"""From a derivation to a plan of the computation, the same for every output.

The plan decides once: the number of each equation; what is computed for all steps at once, before or after the loop over
time; which values the backward pass reads; which matrix products have the same vector and are stacked. It spells
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from ..derivation.chain import START, Derivation, Gradient
from ..derivation.graph import Graph, Stage
from ..language import functions
from ..language.expressions import (
    Adjoint, Call, Expression, MatVec, Number, Power, Quotient, Sum, Value, children, values,
    walk,
)
from ..language.shapes import Dim
from .names import LONGEST, StackNames, run_together
from ..printed import Brief

STILL = "still"  # made of parameters alone: computed once
BEFORE = "before"  # made of inputs alone: computed for all steps at once, before the loop
LOOP = "loop"  # needs the step before
AFTER = "after"  # no state needs it: computed for all steps at once, after the loop
LAST = "last"  # the same, at the last step alone: what only a loss at the last step reads


@dataclass(frozen=True, repr=False)
class Factor(Brief):
    """One matrix product `W_i @ x` inside a stack: the stage it adds to, and the parameter."""

    stage: str
    parameter: str


@dataclass(frozen=True, repr=False)
class Stack(Brief):
    """Matrix products of one vector, computed as one product: their parameters are stored under each other.

    A single product is a stack with one factor, and has the name of its parameter.
    """

    name: str  # of the stored parameter
    vector: Value
    factors: tuple[Factor, ...]  # from the top; contiguous in the block
    phase: str  # of the stages that read it

    @property
    def stages(self) -> tuple[str, ...]:
        return tuple(factor.stage for factor in self.factors)

    @property
    def product_name(self) -> str:
        """What its product is called: `R_h`."""
        return f"{self.name}_{self.vector.name}"


@dataclass(frozen=True, repr=False)
class BiasStack(Brief):
    """Biases of neighbouring stages of a block, stored as one vector."""

    name: str
    factors: tuple[Factor, ...]

    @property
    def stages(self) -> tuple[str, ...]:
        return tuple(factor.stage for factor in self.factors)


@dataclass(frozen=True, repr=False)
class Block(Brief):
    """Stages whose adjoints are side by side in one array, so that each stack uses a slice of it."""

    stages: tuple[str, ...]
    stacks: tuple[Stack, ...]
    biases: tuple[BiasStack, ...]
    phase: str

    def stored(self) -> tuple[Stack | BiasStack, ...]:
        """All stacks of matrices and of biases."""
        return (*self.stacks, *self.biases)


@dataclass(frozen=True, repr=False)
class Gates(Brief):
    """Stages that apply one function to neighbours in a block: one call computes all of them."""

    function: str
    pre_activations: tuple[str, ...]  # in the block's order; all computed before the first stage of a step
    stages: tuple[str, ...]  # the gate of each


@dataclass(frozen=True, repr=False)
class Plan(Brief):
    """What is computed when, what is stacked and what is kept, and the numbers of the equations."""

    derivation: Derivation
    numbers: Mapping[str, int]  # of the equation that computes a stage
    gradient_numbers: Mapping[str, int]  # of the equation that gives a gradient
    phases: Mapping[str, str]  # of each stage: one of the five above
    blocks: tuple[Block, ...]
    gates: tuple[Gates, ...]
    kept: tuple[str, ...]  # stages whose values the backward pass reads, in order of evaluation
    remembered: tuple[str, ...]  # stages whose adjoints are needed for all steps after the loop
    uses_exact_sigmoid: bool  # a sigmoid reaches a denominator, a root or a logarithm

    @property
    def graph(self) -> Graph:
        return self.derivation.graph

    def stages_in(self, *phases: str) -> tuple[Stage, ...]:
        return tuple(stage for stage in self.graph.stages if self.phases[stage.name] in phases)

    def gradients_in(self, *phases: str) -> tuple[Gradient, ...]:
        """Gradients of the stages of a phase, in the order in which they become complete."""
        return tuple(gradient for gradient in self.derivation.stages if self.phases[gradient.value] in phases)

    def extent(self, stages: tuple[str, ...], first: str, last: str) -> tuple[Dim, Dim]:
        """Where the stages from `first` to `last` begin and end in an array with `stages` side by side."""
        begin, end = stages.index(first), stages.index(last) + 1
        low = self._length(stages[:begin])
        return low, low + self._length(stages[begin:end])

    def sum_name(self, stages: Sequence[str]) -> str:
        """What stages side by side are called: `pre` if they are all of which that can be said, else `pre_qk`."""
        if [block.stages for block in self.blocks if len(block.stages) > 1] == [tuple(stages)]:
            return "pre"
        name = f"pre_{run_together(dict.fromkeys(self.graph.stage(stage).owner for stage in stages))}"
        return name if len(name) <= LONGEST else f"pre_{self.graph.stage(stages[0]).owner}"

    def block_size(self, block: Block) -> Dim:
        """The length of a block's array."""
        return self._length(block.stages)

    def _length(self, stages: tuple[str, ...]) -> Dim:
        return sum((self.graph.shapes[stage][0] for stage in stages), Dim())


def make_plan(derivation: Derivation) -> Plan:
    """Decide how a derivation is computed."""
    graph = derivation.graph
    phases = _phases(derivation)
    forward = {stage.name: number for number, stage in enumerate(graph.stages, 1)}
    gradients = (*derivation.stages, *derivation.inputs, *derivation.parameters)
    backward = {gradient.value: number for number, gradient in enumerate(gradients, len(forward) + 1)}
    blocks = _blocks(derivation, phases)
    kept = _kept(derivation)
    return Plan(
        derivation=derivation,
        numbers=forward,
        gradient_numbers=backward,
        phases=phases,
        blocks=blocks,
        gates=tuple(gates for block in blocks if block.phase == LOOP for gates in _gates(block, graph, phases, kept)),
        kept=kept,
        remembered=_remembered(derivation, phases),
        uses_exact_sigmoid=_needs_exact_sigmoid(graph),
    )


# ---------------------------------------------------------------- phases


def _phases(derivation: Derivation) -> dict[str, str]:
    graph = derivation.graph
    feeding: set[str] = set(graph.states)  # what some state depends on
    for stage in reversed(graph.stages):
        if stage.name in feeding:
            feeding.update(value.name for value in values(stage.expression))
    early = set(graph.inputs)
    phases = {}
    for stage in graph.stages:
        read = values(stage.expression)
        if stage.name in graph.static:
            phase = STILL
        elif stage.name in derivation.last_step_only:
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


# ---------------------------------------------------------------- what backward needs


def _kept(derivation: Derivation) -> tuple[str, ...]:
    needed = {value.name for fork in derivation.contributions() for value in values(fork.at_reader)}
    return tuple(stage.name for stage in derivation.graph.stages if stage.name in needed)


def _remembered(derivation: Derivation, phases: Mapping[str, str]) -> tuple[str, ...]:
    """Adjoints of loop stages that something outside of the loop reads."""
    needed: set[str] = set()
    for fork in derivation.contributions():
        outside = phases.get(fork.target, BEFORE) != LOOP  # parameters and inputs have no phase
        if outside and fork.kind != START:
            needed.update(node.name for node in walk(fork.at_reader) if isinstance(node, Adjoint))
    return tuple(g.value for g in derivation.stages if g.value in needed and phases[g.value] == LOOP)


def _needs_exact_sigmoid(graph: Graph) -> bool:
    """Whether a sigmoid reaches a denominator, a root or a logarithm, so that its relative error counts near 0.

    It reaches one by elementwise algebra. After a matrix product or `exp`, only the absolute error counts.
    """
    expressions = {stage.name: stage.expression for stage in graph.stages}
    pending = [node for stage in graph.stages for expression in walk(stage.expression) for node in _delicate(expression)]
    while pending:
        match pending.pop():
            case Call(function="sigmoid"):
                return True
            case Call(function="exp") | MatVec():
                pass
            case Value(name=name):
                pending += [expressions.pop(name)] if name in expressions else []
            case other:
                pending += children(other)
    return False


def _delicate(expression: Expression) -> tuple[Expression, ...]:
    """The operands that may be near 0 and whose relative error is as large in the result, or larger."""
    match expression:
        case Quotient(denominator=denominator):
            return (denominator,)
        case Call(function="log" | "sqrt" | "rsqrt"):
            return expression.arguments
        case Power(base=base, exponent=exponent):
            harmless = isinstance(exponent, Number) and exponent.value > 0 and exponent.value.denominator == 1
            return () if harmless else (base, exponent)
    return ()


# ---------------------------------------------------------------- stacks


def matrix_terms(stage: Stage) -> tuple[MatVec, ...]:
    """The matrix products that a stage adds, those with a minus sign left out."""
    terms = stage.expression.terms if isinstance(stage.expression, Sum) else (stage.expression,)
    return tuple(term for term in terms if isinstance(term, MatVec))


def _blocks(derivation: Derivation, phases: Mapping[str, str]) -> tuple[Block, ...]:
    graph, once = derivation.graph, _read_once(derivation.graph)
    # A stage whose adjoint is never computed (nothing reaches it, or it is one number everywhere) would leave its part of
    # the block's array empty.
    computed = {fork.reader for fork in derivation.contributions() if fork.upstream == Adjoint(fork.reader)}
    # Sizes are read from the stored shapes: only rows that are counted by the same symbol are stored under each other.
    groups: dict[tuple[Value, str, tuple[str, ...]], list[Factor]] = {}
    for stage in graph.stages:
        phase = phases[stage.name]
        if phase == STILL or stage.name not in computed:
            continue
        met = set()
        for term in matrix_terms(stage):
            vector = term.vector
            if not isinstance(vector, Value) or vector.name in graph.static or vector in met:
                continue
            if len(graph.shapes[vector.name]) > 1:
                continue  # a product for each head, or of two matrices
            if isinstance(term.matrix, Value) and term.matrix.name in once:
                met.add(vector)
                symbols = stage.shape[0].symbols
                groups.setdefault((vector, phase, symbols), []).append(Factor(stage.name, term.matrix.name))
    biases = _biases(graph, once)
    names = StackNames(graph)
    blocks = []
    for component in _connected([tuple(f.stage for f in factors) for factors in groups.values()]):
        inside = {key: factors for key, factors in groups.items() if factors[0].stage in component}
        blocks.append(_block(component, inside, biases, names))
    return tuple(blocks)


def _read_once(graph: Graph) -> set[str]:
    """Parameters that are read in one place only: they may be stored with others."""
    count = dict.fromkeys(graph.parameters, 0)
    for stage in graph.stages:
        for node in walk(stage.expression):
            if isinstance(node, Value) and node.name in count:
                count[node.name] += 1
    for _, start in graph.initial:
        if isinstance(start, Value):
            count[start.name] += 1
    return {name for name, times in count.items() if times == 1}


def _biases(graph: Graph, once: set[str]) -> dict[str, str]:
    """For each stage, the parameter that is added to it as it is."""
    found: dict[str, str] = {}
    for stage in graph.stages:
        terms = stage.expression.terms if isinstance(stage.expression, Sum) else ()
        for term in terms:
            if isinstance(term, Value) and term.name in once and graph.shapes[term.name] == stage.shape:
                found.setdefault(stage.name, term.name)
    return found


def _connected(groups: Iterable[tuple[str, ...]]) -> list[list[str]]:
    """Sets of stages that groups connect, directly or through other groups; in the order of their first group."""
    components: list[list[str]] = []
    for group in groups:
        touched = [component for component in components if set(component) & set(group)]
        merged = [stage for component in touched for stage in component]
        merged += [stage for stage in group if stage not in merged]
        components = [component for component in components if component not in touched]
        components.append(merged)
    return components


@dataclass(frozen=True)
class _Gate:
    """A stage that could be computed together with its neighbours."""

    pre_activation: str
    stage: str
    function: str
    sources: tuple[Stack | BiasStack, ...]  # whose parts the pre-activation adds


def _gates(block: Block, graph: Graph, phases: Mapping[str, str], kept: tuple[str, ...]) -> list[Gates]:
    """Runs of two or more neighbours that are sums of the same stacks, each read by the same function alone."""
    runs: list[list[_Gate]] = []
    for name in block.stages:
        gate = _gate(name, block, graph, phases) if name not in kept else None
        if gate is None:
            runs.append([])
        elif runs and runs[-1] and (runs[-1][-1].function, runs[-1][-1].sources) == (gate.function, gate.sources):
            runs[-1].append(gate)
        else:
            runs.append([gate])
    return [Gates(run[0].function, tuple(gate.pre_activation for gate in run), tuple(gate.stage for gate in run))
            for run in runs if len(run) > 1]


def _gate(name: str, block: Block, graph: Graph, phases: Mapping[str, str]) -> _Gate | None:
    """The only stage that reads a pre-activation, if it is an elementwise function of that and nothing else."""
    readers = graph.readers(name)
    if len(readers) != 1 or name in graph.outputs:
        return None
    stage = graph.stage(readers[0].stage)
    match stage.expression:
        case Call(function=function, arguments=(Value(name=argument, lag=0),)) if argument == name:
            pointwise = isinstance(functions.TABLE.get(function), functions.Pointwise)
            sources = _sources(name, block, graph, phases)
            if pointwise and sources and phases[stage.name] == LOOP:
                return _Gate(name, stage.name, function, sources)
    return None


def _sources(name: str, block: Block, graph: Graph, phases: Mapping[str, str]) -> tuple[Stack | BiasStack, ...]:
    """The stacks and biases whose parts a stage adds; none if it adds other terms, or needs a value of its step."""
    expression = graph.stage(name).expression
    terms = set(expression.terms if isinstance(expression, Sum) else (expression,))
    found: list[Stack | BiasStack] = []
    for stack in block.stacks:
        for factor in stack.factors:
            if factor.stage == name:
                if len(stack.factors) == 1 or not is_there_first(stack, phases):
                    return ()
                terms.discard(MatVec(Value(factor.parameter), stack.vector))
                found.append(stack)
    for bias in block.biases:
        for factor in bias.factors:
            if factor.stage == name:
                terms.discard(Value(factor.parameter))
                found.append(bias)
    return () if terms else tuple(found)


def is_there_first(stack: Stack, phases: Mapping[str, str]) -> bool:
    """Whether a stack's vector is there before any stage of its phase is computed."""
    return bool(stack.vector.lag) or phases.get(stack.vector.name, BEFORE + "-") != stack.phase


_MOST_PERMUTED = 7  # stages of a block: with more, not every order is tried (7 stages have 5040)


def _block(stages: list[str], groups: Mapping[tuple[Value, str, tuple[str, ...]], list[Factor]],
           biases: Mapping[str, str], names: StackNames) -> Block:
    order = _order([[factor.stage for factor in factors] for factors in groups.values()], stages)
    position = {stage: index for index, stage in enumerate(order)}
    stacks = []
    for (vector, phase, _), factors in groups.items():
        ranked = sorted(factors, key=lambda factor: position[factor.stage])
        runs = [ranked] if _adjacent([position[f.stage] for f in ranked]) else [[factor] for factor in ranked]
        for run in runs:
            name = names.of([factor.parameter for factor in run], vector.name)
            stacks.append(Stack(name, vector, tuple(run), phase))
    with_bias = [Factor(stage, biases[stage]) for stage in order if stage in biases]
    runs = _runs(with_bias, position)
    bias_stacks = tuple(BiasStack(names.of([f.parameter for f in run], run[0].stage), tuple(run)) for run in runs)
    phase = next(iter(groups))[1]
    return Block(tuple(order), tuple(stacks), bias_stacks, phase)


def _order(groups: list[list[str]], stages: list[str]) -> list[str]:
    """An order in which as many groups as possible are adjacent; the order of evaluation if it is as good."""
    def adjacent_products(order: Sequence[str]) -> int:
        position = {stage: index for index, stage in enumerate(order)}
        return sum(len(group) - 1 for group in groups if _adjacent(sorted(position[s] for s in group)))

    best, most = list(stages), adjacent_products(stages)
    if most == sum(len(group) - 1 for group in groups) or len(stages) > _MOST_PERMUTED:
        return best
    for order in permutations(stages):
        count = adjacent_products(order)
        if count > most:
            best, most = list(order), count
    return best


def _adjacent(positions: list[int]) -> bool:
    return positions[-1] - positions[0] == len(positions) - 1


def _kind(factor: Factor) -> str:
    """The part of a parameter's name that says what it is: b of b_i."""
    return factor.parameter.split("_")[0].rstrip("0123456789")


def _runs(factors: list[Factor], position: Mapping[str, int]) -> list[list[Factor]]:
    """Runs of neighbours whose biases have similar names."""
    runs: list[list[Factor]] = []
    for factor in factors:
        last = runs[-1][-1] if runs else None
        if last and position[factor.stage] == position[last.stage] + 1 and _kind(factor) == _kind(last):
            runs[-1].append(factor)
        else:
            runs.append([factor])
    return runs
