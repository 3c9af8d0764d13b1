"""The backward pass of a schedule as statements of a program."""

from __future__ import annotations

from collections.abc import Iterable

from ..derivation.chain import OUTPUT, Contribution
from ..language.expressions import Call, Expression, MatVec
from ..language.shapes import Dim, Shape
from .arrays import adjoint_array, carry_array, gradient_array, late_array, sent_by_last_array, sum_array
from .pieces import Pieces
from .plan import AFTER, BEFORE, LAST, LOOP, STILL, BiasStack, Stack
from .program import AT_START, BACKWARD, SENT_BY_LAST, SUMS, AddOuter, Entries, Multiply, Spot, Term
from .records import Back, BackwardTerm, Carry, FromNextStep, Gather, Reduce, Schedule, Share, Summed, ToStart


class BackwardPass:
    """Goes through the statements of the backward pass, phase by phase."""

    def __init__(self, schedule: Schedule, pieces: Pieces):
        self.schedule, self.pieces = schedule, pieces
        self.summed: dict[str, None] = {}  # what is added up over steps and examples

    def lower(self) -> None:
        backward = self.pieces.schedule.backward
        self.pieces.phase(BACKWARD, LAST)
        for gather in backward.last:
            self.gather(gather)
        for carry in backward.carries:
            self.start_of_carry(carry)
        for gather in (*backward.after, *backward.before, *backward.inputs):
            if gather.at_last:
                self.sum_into(self.late_spot(gather.gradient.value), gather.at_last, gather.number)
        self.pieces.phase(BACKWARD, AFTER)
        for gather in backward.after:
            self.gather(gather)
        for stack in backward.hoisted:
            beside = self.pieces.side_by_side(stack)
            self.pieces.add(Multiply(self.sent_spot(stack), self.pieces.stored(stack.name), True, beside))
        self.pieces.phase(BACKWARD, LOOP)
        for gather in backward.loop:
            self.gather(gather)
        for carry in backward.carries:
            self.sum_into(self.carry_spot(carry.gradient.value), carry.sent, carry.number)
        self.pieces.phase(BACKWARD, SENT_BY_LAST)
        for carry in backward.carries:
            if carry.sent_by_last:
                sent = self.pieces.leaf(self.later_spot(carry.gradient.value))
                self.pieces.add(Entries(self.carry_spot(carry.gradient.value), (Term(sent),), adds=True))
        self.pieces.phase(BACKWARD, BEFORE)
        for gather in (*backward.before, *backward.inputs):
            self.gather(gather)
        self.sums()
        self.pieces.phase(BACKWARD, STILL)
        for gather in backward.still:
            to = Spot(self.pieces.array(adjoint_array(gather.gradient.value), gather.gradient.shape), gather.gradient.shape)
            self.shares_of_still(to, gather.terms, gather.number)
        for reduction in backward.parameters:
            shape = reduction.stored.shape
            to = Spot(self.pieces.array(gradient_array(reduction.stored.name), shape), shape)
            self.shares_of_still(to, reduction.terms, reduction.numbers[0])

    def gather(self, gather: Gather) -> None:
        late = [Term(self.pieces.leaf(self.late_spot(gather.gradient.value)), "from the last step")] if gather.at_last else []
        self.sum_into(self.pieces.adjoint_spot(gather.gradient.value), gather.terms, gather.number, late)

    def late_spot(self, value: str) -> Spot:
        shape = self.pieces.graph.shapes[value]
        return Spot(self.pieces.array(late_array(value), shape), shape)

    def later_spot(self, value: str) -> Spot:
        shape = self.pieces.graph.shapes[value]
        return Spot(self.pieces.array(sent_by_last_array(value), shape), shape)

    def carry_spot(self, value: str) -> Spot:
        shape = self.pieces.graph.shapes[value]
        return Spot(self.pieces.array(carry_array(value), shape), shape)

    def sent_spot(self, stack: Stack) -> Spot:
        shape = self.pieces.graph.shapes[stack.vector.name]
        return Spot(self.pieces.array(f"sent.{stack.name}", shape), shape)

    def start_of_carry(self, carry: Carry) -> None:
        """The caller's gradient of the final state lies there already."""
        value = carry.gradient.value
        for term in carry.start:
            if isinstance(term, Share):
                share = self.pieces.lower(term.contribution.at_reader)
                through = f"through {term.contribution.reader}"
                self.pieces.add(Entries(self.carry_spot(value), (Term(share, through),), True, carry.number))
            elif isinstance(term, Back):
                self.back(self.carry_spot(value), term.stack, adds=True)
        if carry.sent_by_last:
            self.sum_into(self.later_spot(value), carry.sent_by_last, carry.number)

    def sum_into(self, to: Spot, terms: tuple[BackwardTerm, ...], number: int, more: Iterable[Term] = ()) -> None:
        """`to` = the sum of the terms: products are made in place where they can be."""
        shares: list[Term] = [*more]
        stacks: list[Stack] = []
        alone: Expression | None = None
        for term in terms:
            match term:
                case Back(stack=stack, is_hoisted=True):
                    shares.append(Term(self.pieces.leaf(self.sent_spot(stack)), f"through {', '.join(stack.stages)}"))
                case Back(stack=stack):
                    stacks.append(stack)
                case FromNextStep(value=value, readers=readers):
                    told = ", ".join(f"{reader}[t+1]" for reader in readers) or "the last step"
                    shares.append(Term(self.pieces.leaf(self.carry_spot(value)), f"from {told}"))
                case Share(contribution=contribution):
                    alone = contribution.at_reader
                    if len(terms) > 1 or shares:
                        shares.append(Term(self.pieces.lower(alone), _told(contribution)))
                case _:
                    raise AssertionError(f"{term} is no contribution within the loop")
        if alone is not None and len(terms) == 1 and not shares:
            if self.pieces.is_operation(alone) or isinstance(alone, MatVec):
                self.pieces.into(to, alone, number)
                return
            shares.append(Term(self.pieces.lower(alone), _told(contribution)))
        in_place = not shares or to.array.startswith("next.")
        if in_place:
            if shares or not stacks:
                self.pieces.entries(to, shares, number)
            for index, stack in enumerate(stacks):
                self.back(to, stack, adds=bool(shares) or index > 0)
            return
        if stacks:
            products = self.pieces.temporary(to.shape)
            for index, stack in enumerate(stacks):
                self.back(products, stack, adds=index > 0)
            told = ", ".join(stage for stack in stacks for stage in stack.stages)
            shares.append(Term(self.pieces.leaf(products), f"through {told}"))
        self.pieces.entries(to, shares, number)

    def back(self, to: Spot, stack: Stack, adds: bool) -> None:
        name, beside = self.pieces.stored(stack.name), self.pieces.side_by_side(stack)
        self.pieces.add(Multiply(to, name, True, beside, adds, ", ".join(stack.stages)))

    # ------------------------------------------------------------------ parameters

    def sums(self) -> None:
        """What is added up over steps and examples, each in the phase of its reader."""
        backward = self.pieces.schedule.backward
        for gather in backward.still:
            self.sums_of(gather.gradient.value, gather.gradient.shape, gather.terms)
        for reduction in backward.parameters:
            if reduction.stack is None:
                self.sums_of(reduction.stored.name, reduction.stored.shape, reduction.terms)
            else:
                self.stacked_sums(reduction, reduction.stack)

    def sums_of(self, name: str, shape: Shape, terms: tuple[BackwardTerm, ...]) -> None:
        for term in terms:
            match term:
                case Summed(contribution=contribution):
                    self.summed_contribution(name, shape, contribution)
                case ToStart(contribution=contribution):
                    self.pieces.phase(BACKWARD, AT_START)
                    self.add_up(name, shape, self.pieces.leaf(self.carry_spot(contribution.reader)), Dim())

    def summed_contribution(self, name: str, shape: Shape, contribution: Contribution) -> None:
        phase = self.pieces.plan.phases[contribution.reader]
        self.pieces.phase(BACKWARD, phase)
        match contribution.at_reader:
            case Call(function="outer", arguments=(left, right)) if (
                    len(shape) == 2 and self.pieces.moves(left) and self.pieces.moves(right)):
                spots = self.pieces.spot_of(left), self.pieces.spot_of(right)
                self.pieces.phase(BACKWARD, LAST if phase == LAST else SUMS)
                self.pieces.add(AddOuter(name, *spots))
            case expression:
                self.add_up(name, shape, self.pieces.lower(expression), Dim())

    def stacked_sums(self, reduction: Reduce, stack: Stack | BiasStack) -> None:
        name, block = reduction.stored.name, self.pieces.blocks[stack.stages[0]][0]
        if isinstance(stack, Stack):
            self.pieces.phase(BACKWARD, LAST if block.phase == LAST else SUMS)
            self.pieces.add(AddOuter(name, self.pieces.side_by_side(stack), self.pieces.spot_of(stack.vector)))
            return
        self.pieces.phase(BACKWARD, block.phase)
        for factor in stack.factors:
            shape = self.pieces.graph.shapes[factor.parameter]
            low = self.pieces.plan.extent(stack.stages, factor.stage, factor.stage)[0]
            self.add_up(name, shape, self.pieces.leaf(self.pieces.adjoint_spot(factor.stage)), low)

    def add_up(self, name: str, shape: Shape, expression: Expression, low: Dim) -> None:
        self.summed[name] = None
        whole = next((entry.shape for entry in self.pieces.schedule.parameters if entry.name == name), shape)
        to = Spot(self.pieces.array(sum_array(name), whole), shape, low)
        self.pieces.add(Entries(to, (Term(expression, f"to d_{name}"),), adds=True))

    def shares_of_still(self, to: Spot, terms: tuple[BackwardTerm, ...], number: int) -> None:
        """What comes from values that no step changes; the sums over steps lie there already."""
        for term in terms:
            if isinstance(term, Share):
                share = self.pieces.lower(term.contribution.at_reader)
                through = f"through {term.contribution.reader}"
                self.pieces.add(Entries(to, (Term(share, through),), True, number))


def _told(contribution: Contribution) -> str:
    """Where a contribution comes from."""
    if contribution.kind == OUTPUT:
        return "from outside"
    return f"through {contribution.reader}" + "[t+1]" * contribution.lag
