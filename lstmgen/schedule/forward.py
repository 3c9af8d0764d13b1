"""The forward pass, and one step of it, as statements."""

from __future__ import annotations

from collections.abc import Iterable

from ..derivation.graph import Stage
from ..language.expressions import Expression, MatVec, Sum, Value
from .plan import AFTER, BEFORE, LAST, LOOP, STILL, BiasStack, Block, Gates, Plan, Stack, is_there_first
from .records import (
    Assign, BiasPart, Bundle, Forward, ForwardStatement, ForwardTerm, GatePart, Joined, Multiplied, Part,
)


def whole_pass(plan: Plan) -> Forward:
    """All steps: what the loop need not do is done before or after it, for all steps at once."""
    maker = _Maker(plan, plan.graph.stages, hoisting=True)
    still = maker.stages(plan.stages_in(STILL))
    before = maker.phase(BEFORE)
    hoisted = maker.hoisted_products()
    return Forward(still, before, hoisted, maker.phase(LOOP), maker.phase(AFTER), maker.phase(LAST))


def single_step(plan: Plan) -> Forward:
    """One step: nothing to hoist, and nothing that only the loss reads."""
    wanted = tuple(stage for stage in plan.graph.stages if stage.name not in plan.derivation.loss_stages)
    maker = _Maker(plan, wanted, hoisting=False)
    still = maker.stages(stage for stage in wanted if plan.phases[stage.name] == STILL)
    return Forward(still, maker.phase(BEFORE), (), maker.phase(LOOP), maker.phase(AFTER), ())


def is_hoisted(stack: Stack, plan: Plan) -> bool:
    """Whether a loop's product can be made for all steps before the loop: its vector is there by then."""
    return stack.phase == LOOP and plan.phases.get(stack.vector.name, BEFORE) == BEFORE


class _Maker:
    """Goes through the phases in order and remembers where each product has been made."""

    def __init__(self, plan: Plan, wanted: tuple[Stage, ...], hoisting: bool):
        self.plan, self.hoisting = plan, hoisting
        self.wanted = {stage.name for stage in wanted}
        self.made: dict[Stack, Bundle] = {}  # the bundle of this phase, or one before the loop, that holds a product
        self.at_once: dict[Stack, Bundle] = {}  # bundles made before the loop, by their stack
        self.added_to: list[Bundle] = []  # those of at_once to which the loop adds a product of the state
        self.biases_added: set[BiasStack] = set()
        self.block_of = {stage: block for block in plan.blocks for stage in block.stages}
        self.gates_of = {name: gates for gates in plan.gates for name in (*gates.pre_activations, *gates.stages)}
        self.stack_of = {
            (factor.stage, factor.parameter): stack
            for block in plan.blocks for stack in block.stacks for factor in stack.factors
        }
        self.bias_of = {
            factor.stage: (bias, factor.parameter)
            for block in plan.blocks for bias in block.biases for factor in bias.factors
        }

    def phase(self, phase: str) -> tuple[ForwardStatement, ...]:
        starting = self.starting_products(phase)
        stages = (stage for stage in self.plan.stages_in(phase) if stage.name in self.wanted)
        return (*starting, *self.stages(stages))

    def stages(self, stages: Iterable[Stage]) -> tuple[ForwardStatement, ...]:
        statements: list[ForwardStatement] = []
        joined: set[Gates] = set()
        for stage in stages:
            gates = self.gates_of.get(stage.name)
            if gates and stage.name in gates.pre_activations:
                continue  # computed inside the joint call
            if gates and gates not in joined:
                joined.add(gates)
                statements.append(self._joint_call(gates))
            number = self.plan.numbers[stage.name]
            if gates:
                statements.append(Assign(stage, (GatePart(gates, stage.name),), (), number))
            else:
                statements.append(Assign(stage, *self._terms(stage, stage.name), number))
            statements += self._products_of(stage)
        return tuple(statements)

    # --- products

    def starting_products(self, phase: str) -> tuple[Bundle, ...]:
        """Products that are there before the first stage of a phase: those for the same stages in one sum."""
        bundles = []
        for block in self.plan.blocks:
            if block.phase != phase:
                continue
            ready: dict[tuple[str, ...], list[Stack]] = {}
            for stack in block.stacks:
                if is_there_first(stack, self.plan.phases) and len(stack.factors) > 1:
                    ready.setdefault(stack.stages, []).append(stack)
            for stages, stacks in ready.items():
                hoisted = [self.at_once[stack] for stack in stacks if stack in self.at_once]
                if hoisted and len(stacks) == 1:
                    continue  # its parts are read in the array made before the loop
                bias = None if hoisted else self._bias_of(block, stacks[0])
                onto = next((bundle for bundle in hoisted if bundle in self.added_to), None)
                products = tuple(self.at_once.get(stack, stack) for stack in stacks)
                name = stacks[0].product_name if len(stacks) == 1 else self.plan.sum_name(stages)
                bundle = Bundle(name, stages, tuple(each for each in products if each != onto), bias, onto)
                self.made |= dict.fromkeys(stacks, bundle)
                bundles.append(bundle)
        return tuple(bundles)

    def hoisted_products(self) -> tuple[Bundle, ...]:
        """The loop's products of vectors that are there before it, for all steps at once."""
        bundles = []
        summed: set[tuple[str, ...]] = set()
        for block in self.plan.blocks:
            for stack in block.stacks:
                if not is_hoisted(stack, self.plan):
                    continue
                stages = stack.stages
                is_added_to = stages not in summed and self._is_added_to(block, stack)
                name = self.plan.sum_name(stages) if is_added_to else stack.product_name
                bundle = Bundle(name, stages, (stack,), self._bias_of(block, stack), None)
                self.at_once[stack] = bundle
                if is_added_to:
                    summed.add(stages)
                    self.added_to.append(bundle)
                bundles.append(bundle)
        return tuple(bundles)

    def _is_added_to(self, block: Block, stack: Stack) -> bool:
        """Whether the loop adds a product of the state, for the same stages, to this one of the input."""
        return len(stack.factors) > 1 and any(
            other.stages == stack.stages and is_there_first(other, self.plan.phases)
            and not is_hoisted(other, self.plan)
            for other in block.stacks
        )

    def _products_of(self, stage: Stage) -> list[Bundle]:
        """Bundles of one stack each, whose vector has just been computed."""
        bundles = []
        for block in self.plan.blocks:
            for stack in block.stacks:
                late = stack.vector == Value(stage.name) and not is_there_first(stack, self.plan.phases)
                if late and len(stack.factors) > 1:
                    bundle = Bundle(stack.product_name, stack.stages, (stack,), self._bias_of(block, stack), None)
                    self.made[stack] = bundle
                    bundles.append(bundle)
        return bundles

    def _bias_of(self, block: Block, stack: Stack) -> BiasStack | None:
        """The biases of exactly the stages of a stack, if they have not been added yet."""
        for bias in block.biases:
            if bias.stages == stack.stages and bias not in self.biases_added:
                self.biases_added.add(bias)
                return bias
        return None

    # --- one stage

    def _joint_call(self, gates: Gates) -> Joined:
        first, *_, last = gates.pre_activations
        terms, rest = self._terms(self.plan.graph.stage(first), last)
        assert not rest, "gates side by side add nothing but stacked products and biases"
        return Joined(gates, terms, tuple(self.plan.numbers[name] for name in gates.pre_activations))

    def _terms(self, stage: Stage, last: str) -> tuple[tuple[ForwardTerm, ...], tuple[Expression, ...]]:
        """A stage as terms of stacks, and the rest; `last`: for all stages of its block up to that one."""
        terms = stage.expression.terms if isinstance(stage.expression, Sum) else (stage.expression,)
        found: dict[Expression, ForwardTerm | None] = {}
        # products first: one of them may include the bias
        for term in sorted(terms, key=lambda term: not isinstance(term, MatVec)):
            covered, given = self._covered(stage, term, last)
            if covered:
                found[term] = given
        given_terms = [found[term] for term in terms if term in found]
        once = dict.fromkeys(term for term in given_terms if term is not None)
        return tuple(once), tuple(term for term in terms if term not in found)

    def _covered(self, stage: Stage, term: Expression, last: str) -> tuple[bool, ForwardTerm | None]:
        """Whether a stack gives this term, and as what; None if another term includes it."""
        match term:
            case MatVec(matrix=Value(name=matrix), vector=vector):
                stack = self.stack_of.get((stage.name, matrix))
                if stack is not None and stack.vector == vector:
                    return True, self._product(stage, stack, last)
            case Value(name=name) if stage.name in self.bias_of:
                bias, parameter = self.bias_of[stage.name]
                if parameter == name:
                    return True, None if bias in self.biases_added else BiasPart(bias, stage.name, last)
        return False, None

    def _product(self, stage: Stage, stack: Stack, last: str) -> ForwardTerm:
        if stack in self.made:
            bundle = self.made[stack]
            return Part(bundle, stage.name, last, is_hoisted=False)
        if stack in self.at_once:
            return Part(self.at_once[stack], stage.name, last, is_hoisted=True)
        return Multiplied(stack, self._bias_of(self.block_of[stage.name], stack))
