"""The backward pass as statements."""

from __future__ import annotations

from collections.abc import Iterable

from ..derivation.chain import START, TRANSPOSED, Contribution, Gradient
from ..language.expressions import Adjoint, Call, MatVec, Value, walk
from .plan import AFTER, BEFORE, LAST, LOOP, STILL, BiasStack, Block, Plan, Stack
from .records import (
    ALL, FINAL, Back, Backward, BackwardTerm, Carry, FromFinalState, FromNextStep, Gather, Reduce, Share,
    StoredParameter, Summed, ToStart,
)


def backward_pass(plan: Plan, stored: tuple[StoredParameter, ...]) -> Backward:
    """Every adjoint that something reads, what goes from step to step, and the parameters' gradients."""
    return _Maker(plan).backward(stored)


class _Maker:
    def __init__(self, plan: Plan):
        self.plan, self.graph, self.derivation = plan, plan.graph, plan.derivation
        self.gradients = self.derivation.adjoints
        self.stack_of = {
            (factor.stage, factor.parameter): stack
            for block in plan.blocks for stack in block.stacks for factor in stack.factors
        }
        self.read = {
            node.name for fork in self.derivation.contributions() for node in walk(fork.at_reader)
            if isinstance(node, Adjoint)
        }
        # what stages after the loop send into it through matrices is computed for all steps at once
        self.hoisted = tuple(
            stack for block in plan.blocks if block.phase == AFTER
            for stack in block.stacks if plan.phases.get(stack.vector.name) == LOOP
        )

    def backward(self, stored: tuple[StoredParameter, ...]) -> Backward:
        carried = self._carried()
        return Backward(
            last=self._gathers(LAST),
            after=self._gathers(AFTER),
            hoisted=self.hoisted,
            carries=tuple(self._carry(self.gradients[name]) for name in carried),
            loop=tuple(
                self._in_loop(gradient, carried) for gradient in self.plan.gradients_in(LOOP)
                if gradient.value in self.read or gradient.value in self.graph.states
            ),
            before=self._gathers(BEFORE),
            inputs=tuple(self._gather(gradient, in_loop=False) for gradient in self.derivation.inputs),
            still=tuple(self._once(gradient) for gradient in self.plan.gradients_in(STILL) if gradient.value in self.read),
            parameters=tuple(self._reduce(entry) for entry in stored),
        )

    def _carried(self) -> tuple[str, ...]:
        """Values to whose adjoint a later step, or a loss at the last step, contributes."""
        late = [
            gradient.value for gradient in self.plan.gradients_in(LOOP)
            if gradient.value not in self.graph.states and any(map(self._is_last, gradient.forks))
        ]
        return (*self.graph.states, *late)

    def _is_last(self, fork: Contribution) -> bool:
        """Whether a contribution comes through a stage that exists at the last step alone."""
        return fork.reader in self.derivation.last_step_only

    # --- adjoints

    def _gathers(self, phase: str) -> tuple[Gather, ...]:
        wanted = [gradient for gradient in self.plan.gradients_in(phase) if gradient.value in self.read]
        if phase == LAST:
            return tuple(self._made(gradient, self._terms(gradient.forks, False)) for gradient in wanted)
        return tuple(self._gather(gradient, in_loop=False) for gradient in wanted)

    def _gather(self, gradient: Gradient, in_loop: bool) -> Gather:
        """The contributions of every step and, separately, those of the last step alone."""
        last = tuple(fork for fork in gradient.forks if self._is_last(fork) and not fork.over_time)
        every = tuple(fork for fork in gradient.forks if not self._is_last(fork) or fork.over_time)
        return self._made(gradient, self._terms(every, in_loop), self._terms(last, False))

    def _once(self, gradient: Gradient) -> Gather:
        return self._made(gradient, self._summed(gradient.forks))

    def _in_loop(self, gradient: Gradient, carried: tuple[str, ...]) -> Gather:
        terms: list[BackwardTerm] = []
        if gradient.value in carried:
            readers = tuple(fork.reader for fork in gradient.through_time() if not self._is_last(fork))
            terms.append(FromNextStep(gradient.value, readers))
        within = tuple(fork for fork in gradient.within() if not self._is_last(fork))
        return self._made(gradient, (*terms, *self._terms(within, True)))

    def _made(self, gradient: Gradient, terms: tuple[BackwardTerm, ...], last: tuple[BackwardTerm, ...] = ()) -> Gather:
        return Gather(gradient, terms, last, self.plan.gradient_numbers[gradient.value])

    def _carry(self, gradient: Gradient) -> Carry:
        start: list[BackwardTerm] = []
        if gradient.value in self.graph.states:
            start.append(FromFinalState(gradient.value))
        start += self._terms(tuple(fork for fork in gradient.within() if self._is_last(fork)), False)
        later = gradient.through_time()
        return Carry(
            gradient=gradient,
            start=tuple(start),
            sent=self._terms(tuple(fork for fork in later if not self._is_last(fork)), True),
            sent_by_last=tuple(Share(fork) for fork in later if self._is_last(fork)),
            number=self.plan.gradient_numbers[gradient.value],
        )

    # --- contributions

    def _terms(self, forks: tuple[Contribution, ...], in_loop: bool) -> tuple[BackwardTerm, ...]:
        """One term for each contribution, but one for all that come through one stack: they are one product."""
        terms: list[BackwardTerm] = []
        done: set[Stack] = set()
        for fork in forks:
            stack = self._stack_through(fork)
            if stack is None:
                terms.append(Share(fork))
            elif stack not in done:
                done.add(stack)
                terms.append(Back(stack, is_hoisted=in_loop and stack in self.hoisted))
        return tuple(terms)

    def _stack_through(self, fork: Contribution) -> Stack | None:
        if fork.kind != TRANSPOSED:
            return None
        match fork.at_reader:
            case MatVec(matrix=Call(function="transpose", arguments=(Value(name=matrix),))):
                stack = self.stack_of.get((fork.reader, matrix))
                if stack is not None and stack.vector == Value(fork.target, -fork.lag):
                    return stack
        return None

    def _summed(self, forks: Iterable[Contribution]) -> tuple[BackwardTerm, ...]:
        """Contributions to a static value: summed over all steps and examples, or as they are if the reader is static."""
        terms: list[BackwardTerm] = []
        for fork in forks:
            if fork.kind == START:
                terms.append(ToStart(fork))
            elif not fork.over_time:
                terms.append(Share(fork))
            else:
                terms.append(Summed(fork, FINAL if self._is_last(fork) else ALL))
        return tuple(terms)

    def _reduce(self, stored: StoredParameter) -> Reduce:
        gradients = [self.gradients[member.name] for member in stored.members]
        stack, block = self._stack_named(stored.name) if stored.is_stacked else (None, None)
        return Reduce(
            stored=stored, stack=stack, block=block,
            terms=() if stored.is_stacked else self._summed(gradients[0].forks),
            numbers=tuple(sorted(self.plan.gradient_numbers[gradient.value] for gradient in gradients)),
            readers=tuple(dict.fromkeys(fork.reader for gradient in gradients for fork in gradient.forks)),
        )

    def _stack_named(self, name: str) -> tuple[Stack | BiasStack, Block]:
        return next((stack, block) for block in self.plan.blocks
                    for stack in block.stored() if stack.name == name)
