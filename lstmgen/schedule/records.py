"""The records of a schedule: everything that an output must know about a cell, and nothing about any output.

A schedule has two directions. Each has statements in five phases, in the order of evaluation:

    STILL    made of parameters alone: computed once
    BEFORE   made of inputs alone: computed for all steps at once, before the loop
    LOOP     needs the step before: computed step by step
    AFTER    no state needs it: computed for all steps at once, after the loop
    LAST     exists at the last step alone: what only a loss at the last step reads

Expressions are those of `language/expressions.py`; time belongs to the symbol. Names are those of the spec. If a record
needs a name that the spec does not have (an array of products side by side), it proposes one; the output must see that it
is free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..derivation.chain import Contribution, Derivation, Gradient
from ..derivation.graph import Graph, Stage
from ..language.expressions import Expression, MinusInfinity, Number, Value
from ..language.shapes import Dim, Shape
from ..printed import Brief
from .plan import BiasStack, Block, Gates, Plan, Stack

# The steps that a statement is about.
ONCE, ALL, STEP, FINAL = "once", "all", "step", "final"  # not of a step; all steps at once; step t; the last step


# ---------------------------------------------------------------- storage


@dataclass(frozen=True, repr=False)
class Member(Brief):
    """One parameter of the spec inside a stored array."""

    name: str
    first: Dim  # its first row there
    shape: Shape


@dataclass(frozen=True, repr=False)
class StoredParameter(Brief):
    """One array of parameters: one of the spec's, or several under each other."""

    name: str
    members: tuple[Member, ...]  # from the top
    shape: Shape

    @property
    def is_stacked(self) -> bool:
        return len(self.members) > 1


PARAMETER, ARGUMENT, STATE = "parameter", "argument", "state"


@dataclass(frozen=True, repr=False)
class SizeSource(Brief):
    """Where a size is read: it is (length of the axis - rest) / factor."""

    symbol: str
    kind: str  # of the array: a stored PARAMETER, an ARGUMENT (input or target), or an initial STATE
    array: str
    axis: int  # of one example's array: leading axes of time and batch do not count
    rest: Dim  # what else that axis contains; its symbols are known by then
    factor: Dim  # a number, or a multiple of symbols that are known by then


@dataclass(frozen=True, repr=False)
class Sizes(Brief):
    """How every size is found, in order: from parameters, then from arguments, then from the initial state."""

    from_parameters: tuple[SizeSource, ...]
    from_arguments: tuple[SizeSource, ...]  # of the whole forward pass: inputs and targets
    from_states: tuple[SizeSource, ...]
    from_inputs: tuple[SizeSource, ...]  # of a single step, which takes no target
    from_states_of_step: tuple[SizeSource, ...]

    @property
    def known(self) -> tuple[str, ...]:
        """The symbols whose sizes parameters give."""
        return tuple(source.symbol for source in self.from_parameters)

    @property
    def late(self) -> tuple[str, ...]:
        """The symbols whose sizes parameters do not give."""
        return tuple(source.symbol for source in (*self.from_arguments, *self.from_states))


# ---------------------------------------------------------------- buffers and tape

ONE, EVERY_STEP, STEPS_AND_START = "one", "every step", "steps and start"


@dataclass(frozen=True, repr=False)
class Buffer(Brief):
    """How many steps of a value, or of an adjoint, must be stored at the same time."""

    name: str
    is_adjoint: bool
    shape: Shape  # of one example
    extent: str  # ONE step's, EVERY_STEP's, or STEPS_AND_START: every step's and what it started from


@dataclass(frozen=True, repr=False)
class Kept(Brief):
    """One entry of the tape: a value at every step, `lag` steps earlier."""

    name: str
    lag: int  # 0 or -1


# ---------------------------------------------------------------- forward


@dataclass(frozen=True, repr=False)
class Bundle(Brief):
    """Products of stacks for the same stages, added up in one array in which the stages lie side by side."""

    name: str  # proposed
    stages: tuple[str, ...]  # from the left
    products: tuple[Stack | Bundle, ...]  # added up: computed here, or step t of a bundle that was computed before the loop
    bias: BiasStack | None  # added too
    onto: Bundle | None  # a bundle computed before the loop; all of this is added to its step t in place


@dataclass(frozen=True, repr=False)
class Part(Brief):
    """The stages from `first` to `last` of a bundle."""

    bundle: Bundle
    first: str
    last: str
    is_hoisted: bool  # the bundle holds all steps, and this is of step t


@dataclass(frozen=True, repr=False)
class Multiplied(Brief):
    """A stack's product, computed where it is needed, with its bias."""

    stack: Stack
    bias: BiasStack | None


@dataclass(frozen=True, repr=False)
class BiasPart(Brief):
    """The stages from `first` to `last` of stored biases."""

    bias: BiasStack
    first: str
    last: str


@dataclass(frozen=True, repr=False)
class GatePart(Brief):
    """One gate of several that were computed by one call."""

    gates: Gates
    gate: str


ForwardTerm = Part | Multiplied | BiasPart | GatePart


@dataclass(frozen=True, repr=False)
class Assign(Brief):
    """One stage: the terms that products, biases or a joint call give, and the rest of its equation."""

    stage: Stage
    terms: tuple[ForwardTerm, ...]
    rest: tuple[Expression, ...]  # added to the terms
    number: int  # of its equation


@dataclass(frozen=True, repr=False)
class Joined(Brief):
    """One call of a function for several gates that lie side by side."""

    gates: Gates
    terms: tuple[ForwardTerm, ...]  # the argument: a sum of parts
    numbers: tuple[int, ...]  # of the equations of the pre-activations


ForwardStatement = Assign | Joined | Bundle


@dataclass(frozen=True, repr=False)
class Forward(Brief):
    """The forward pass, or one step of it."""

    still: tuple[ForwardStatement, ...]
    before: tuple[ForwardStatement, ...]
    hoisted: tuple[Bundle, ...]  # the loop's products of vectors that are known before it, for all steps at once
    loop: tuple[ForwardStatement, ...]
    after: tuple[ForwardStatement, ...]
    last: tuple[ForwardStatement, ...]

    def statements(self) -> tuple[ForwardStatement, ...]:
        return (*self.still, *self.before, *self.hoisted, *self.loop, *self.after, *self.last)


# ---------------------------------------------------------------- backward


@dataclass(frozen=True, repr=False)
class Share(Brief):
    """What one contribution sends back, at the reader's step."""

    contribution: Contribution


@dataclass(frozen=True, repr=False)
class Back(Brief):
    """What a stack sends back to its vector: the adjoints of its stages, side by side, times the stored matrix."""

    stack: Stack
    is_hoisted: bool  # computed for all steps before the backward loop: this is its step t


@dataclass(frozen=True, repr=False)
class FromNextStep(Brief):
    """What step t+1 sent back; at the last step, the start of the carry."""

    value: str
    readers: tuple[str, ...]  # stages of step t+1; none where only the last step's loss reads the value


@dataclass(frozen=True, repr=False)
class FromFinalState(Brief):
    """The gradient that reaches the final state from outside: `dstate`."""

    state: str


@dataclass(frozen=True, repr=False)
class Summed(Brief):
    """A contribution summed over steps and examples; over examples only, if it exists at the last step alone."""

    contribution: Contribution
    over: str  # ALL or FINAL


@dataclass(frozen=True, repr=False)
class ToStart(Brief):
    """The gradient of an initial state, summed over examples, if the learned one was used."""

    contribution: Contribution


BackwardTerm = Share | Back | FromNextStep | FromFinalState | Summed | ToStart


@dataclass(frozen=True, repr=False)
class Gather(Brief):
    """One adjoint: a sum of terms. Without terms nothing reads the value, and the adjoint is zero."""

    gradient: Gradient
    terms: tuple[BackwardTerm, ...]
    at_last: tuple[BackwardTerm, ...]  # added at the last step alone
    number: int  # of its equation


@dataclass(frozen=True, repr=False)
class Carry(Brief):
    """The part of an adjoint that goes from step t to step t-1."""

    gradient: Gradient
    start: tuple[BackwardTerm, ...]  # from the final state, and from a loss at the last step
    sent: tuple[BackwardTerm, ...]  # from step t to t-1
    sent_by_last: tuple[Share, ...]  # the same, from the last step alone
    number: int


@dataclass(frozen=True, repr=False)
class Reduce(Brief):
    """The gradient of one stored parameter."""

    stored: StoredParameter
    stack: Stack | BiasStack | None  # if the adjoints of its stages are side by side: one product or one sum gives all
    block: Block | None  # of that stack
    terms: tuple[BackwardTerm, ...]  # otherwise
    numbers: tuple[int, ...]  # of its members' equations, ascending
    readers: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class Backward(Brief):
    """The backward pass. The arrays of blocks are allocated at the beginning of their phase."""

    last: tuple[Gather, ...]
    after: tuple[Gather, ...]
    hoisted: tuple[Stack, ...]  # stacks after the loop: what they send into the loop, for all steps at once
    carries: tuple[Carry, ...]
    loop: tuple[Gather, ...]
    before: tuple[Gather, ...]
    inputs: tuple[Gather, ...]
    still: tuple[Gather, ...]
    parameters: tuple[Reduce, ...]  # in the order of storage

    def gathers(self) -> tuple[Gather, ...]:
        return (*self.last, *self.after, *self.loop, *self.before, *self.inputs, *self.still)


# ---------------------------------------------------------------- all of it


@dataclass(frozen=True, repr=False)
class Start(Brief):
    """What a state starts from if none is given."""

    state: str
    value: Number | MinusInfinity | Value  # a number in every entry, or a parameter


@dataclass(frozen=True, repr=False)
class Schedule(Brief):
    """What is computed when, from what, over which steps, and what must be kept for it."""

    plan: Plan  # numbers, phases and stacks, on which it is built
    parameters: tuple[StoredParameter, ...]
    sizes: Sizes
    starts: tuple[Start, ...]  # in the order of the states
    forward: Forward
    step: Forward  # one step; nothing is hoisted, and stages that only the loss reads are missing
    backward: Backward
    buffers: tuple[Buffer, ...]  # of stages, then of adjoints
    tape: tuple[Kept, ...]  # inputs, targets and stages that the backward pass reads, in this order
    read_forward: tuple[str, ...]  # stored parameters that the forward pass reads
    read_step: tuple[str, ...]
    read_backward: tuple[str, ...]

    @property
    def graph(self) -> Graph:
        return self.plan.graph

    @property
    def derivation(self) -> Derivation:
        return self.plan.derivation

    def extents(self, is_adjoint: bool) -> Mapping[str, str]:
        """The extent of each value, or of each adjoint."""
        return {buffer.name: buffer.extent for buffer in self.buffers if buffer.is_adjoint == is_adjoint}
