"""What must be stored for how long: buffers, the tape, and the stored parameters that each pass reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..language.expressions import Expression, values
from .plan import AFTER, LAST, LOOP, STILL, BiasStack, Plan, Stack
from .records import (
    EVERY_STEP, ONE, STEPS_AND_START, Assign, Back, Backward, BackwardTerm, BiasPart, Buffer, Bundle, Forward, Joined,
    Kept, Multiplied, Share, StoredParameter, Summed, ToStart,
)


def buffers(plan: Plan, backward: Backward) -> tuple[Buffer, ...]:
    """For every stage and every computed adjoint, how many steps must be stored at the same time."""
    graph = plan.graph
    needed = set(plan.kept) | set(graph.outputs)
    for stage in plan.stages_in(AFTER, LAST):
        needed.update(value.name for value in values(stage.expression))
    found = []
    for stage in graph.stages:
        phase = plan.phases[stage.name]
        if stage.name in graph.states:
            extent = STEPS_AND_START
        elif phase in (STILL, LAST) or (phase == LOOP and stage.name not in needed):
            extent = ONE
        else:
            extent = EVERY_STEP
        found.append(Buffer(stage.name, False, stage.shape, extent))
    for gather in backward.gathers():
        name = gather.gradient.value
        phase = plan.phases.get(name, AFTER)  # inputs have no phase, but an adjoint at every step
        single = phase in (STILL, LAST) or (phase == LOOP and name not in plan.remembered)
        found.append(Buffer(name, True, gather.gradient.shape, ONE if single else EVERY_STEP))
    return tuple(found)


def tape(plan: Plan, backward: Backward) -> tuple[Kept, ...]:
    """The values of the forward pass that the backward pass reads, each with how many steps earlier."""
    graph = plan.graph
    read = {(value.name, value.lag) for expression in _expressions(backward) for value in values(expression)}
    kept = [Kept(name, 0) for name in (*graph.inputs, *graph.targets) if (name, 0) in read]
    for stage in graph.stages:
        kept += [Kept(stage.name, lag) for lag in (-1, 0) if (stage.name, lag) in read]
    return tuple(kept)


def read_forward(forward: Forward, stored: Iterable[StoredParameter]) -> tuple[str, ...]:
    """The stored parameters that a forward pass reads, in the order of storage."""
    read: set[str] = set()
    for statement in forward.statements():
        match statement:
            case Bundle(products=products, bias=bias):
                read.update(each.name for each in (*products, bias) if isinstance(each, (Stack, BiasStack)))
            case Assign(terms=terms, rest=rest):
                read.update(value.name for expression in rest for value in values(expression))
                read.update(name for term in terms for name in _stacks_of(term))
            case Joined(terms=terms):
                read.update(name for term in terms for name in _stacks_of(term))
    return tuple(entry.name for entry in stored if entry.name in read)


def _stacks_of(term: object) -> Iterator[str]:
    match term:
        case Multiplied(stack=stack, bias=bias):
            yield stack.name
            if bias is not None:
                yield bias.name
        case BiasPart(bias=bias):
            yield bias.name


def read_backward(backward: Backward, stored: Iterable[StoredParameter]) -> tuple[str, ...]:
    """The stored parameters that the backward pass reads, in the order of storage."""
    read = {value.name for expression in _expressions(backward) for value in values(expression)}
    read.update(stack.name for stack in backward.hoisted)
    for term in _terms(backward):
        match term:
            case Back(stack=stack):
                read.add(stack.name)
            case ToStart(contribution=contribution):
                read.add(contribution.target)  # only its shape, if the state was given
    return tuple(entry.name for entry in stored if entry.name in read)


def _terms(backward: Backward) -> Iterator[BackwardTerm]:
    for gather in backward.gathers():
        yield from (*gather.terms, *gather.at_last)
    for carry in backward.carries:
        yield from (*carry.start, *carry.sent, *carry.sent_by_last)
    for reduction in backward.parameters:
        yield from reduction.terms


def _expressions(backward: Backward) -> Iterator[Expression]:
    """Every expression that the backward pass evaluates, also the vectors of stacked gradients."""
    for term in _terms(backward):
        if isinstance(term, (Share, Summed)):
            yield term.contribution.at_reader
    for reduction in backward.parameters:
        if isinstance(reduction.stack, Stack):
            yield reduction.stack.vector
