"""The forward pass of a schedule as statements of a program."""

from __future__ import annotations

from ..language.expressions import Expression, total
from ..language.shapes import Shape
from .arrays import LOSS_ARRAY
from .pieces import Pieces, minus
from .plan import AFTER, BEFORE, LAST, LOOP, STILL, BiasStack, Stack
from .program import FORWARD, Entries, Multiply, Spot, Term
from .records import Assign, BiasPart, Bundle, ForwardStatement, Multiplied, Part, Schedule


class ForwardPass:
    """Goes through the statements of the forward pass, phase by phase."""

    def __init__(self, schedule: Schedule, pieces: Pieces):
        self.schedule, self.pieces = schedule, pieces

    def lower(self) -> None:
        forward, loss = self.pieces.schedule.forward, self.pieces.graph.loss
        phases = {STILL: forward.still, BEFORE: (*forward.before, *forward.hoisted), LOOP: forward.loop,
                  AFTER: forward.after, LAST: forward.last}
        for phase, statements in phases.items():
            self.pieces.phase(FORWARD, phase)
            for statement in statements:
                self.forward_statement(statement)
            if loss is not None and self.pieces.plan.phases[loss] == phase:
                to = Spot(self.pieces.array(LOSS_ARRAY, ()), ())
                self.pieces.add(Entries(to, (Term(self.pieces.leaf(self.pieces.value_spot(loss)), "the loss"),), adds=True))

    def forward_statement(self, statement: ForwardStatement) -> None:
        match statement:
            case Bundle():
                self.bundle(statement)
            case Assign(stage=stage, terms=terms, rest=rest, number=number):
                to = self.pieces.value_spot(stage.name)
                if not terms:
                    self.pieces.into(to, total(*rest), number)
                    return
                bias: list[Expression] = []
                products: list[Spot | Stack] = []
                for term in terms:
                    match term:
                        case Part(bundle=bundle, first=first):
                            found, its_bias = self.part(bundle, first, stage.shape)
                            products.append(found)
                            bias += its_bias
                        case Multiplied(stack=stack, bias=its):
                            products.append(stack)
                            bias += [self.pieces.leaf(self.bias_spot(its, stage.name, stage.shape))] if its else []
                        case BiasPart(bias=its):
                            bias.append(self.pieces.leaf(self.bias_spot(its, stage.name, stage.shape)))
                        case _:
                            raise AssertionError("a program is made of a schedule without joint calls")
                match products, bias, rest:
                    case [Stack(name=name, vector=vector)], [], ():
                        self.pieces.add(Multiply(to, self.pieces.stored(name), False, self.pieces.spot_of(vector)))
                    case _:
                        added = [self.pieces.leaf(each if isinstance(each, Spot) else self.product(each, stage.shape))
                                 for each in products]
                        lowered = [self.pieces.lower(each) for each in rest]
                        self.pieces.entries(to, (Term(total(*added, *lowered, *bias)),), number)

    def product(self, stack: Stack, shape: Shape) -> Spot:
        to = self.pieces.temporary(shape)
        self.pieces.add(Multiply(to, self.pieces.stored(stack.name), False, self.pieces.spot_of(stack.vector)))
        return to

    def bias_spot(self, bias: BiasStack, stage: str, shape: Shape) -> Spot:
        return self.pieces.parameter_spot(bias.name, shape, self.pieces.plan.extent(bias.stages, stage, stage)[0])

    def bundle(self, bundle: Bundle) -> None:
        """Products for the same stages. The bias is added where a stage reads its part."""
        base = self.base(bundle)
        low, high = self.pieces.plan.extent(base.stages, base.stages[0], base.stages[-1])
        to = Spot(self.pieces.array(self.bundle_array(base), (minus(high, low),)), (minus(high, low),))
        adds = bundle.onto is not None
        for each in bundle.products:
            if isinstance(each, Bundle):
                if self.base(each) != base:
                    self.pieces.add(Entries(to, (Term(self.pieces.leaf(Spot(self.bundle_array(each), to.shape))),), adds))
            else:
                name, vector = self.pieces.stored(each.name), self.pieces.spot_of(each.vector)
                self.pieces.add(Multiply(to, name, False, vector, adds, ", ".join(bundle.stages)))
            adds = True

    def base(self, bundle: Bundle) -> Bundle:
        """The bundle in whose array this one lies."""
        return self.base(bundle.onto) if bundle.onto else bundle

    def bundle_array(self, bundle: Bundle) -> str:
        return f"{bundle.name}.{'.'.join(bundle.stages)}"

    def part(self, bundle: Bundle, stage: str, shape: Shape) -> tuple[Spot, list[Expression]]:
        base = self.base(bundle)
        low, _ = self.pieces.plan.extent(base.stages, stage, stage)
        biases: list[Expression] = [self.pieces.leaf(self.bias_spot(bias, stage, shape)) for bias in _biases(bundle)]
        return Spot(self.bundle_array(base), shape, low), biases


def _biases(bundle: Bundle) -> list[BiasStack]:
    """What a bundle, and every one it is added to, adds beside products."""
    found = [bundle.bias] if bundle.bias else []
    for each in (*bundle.products, *([bundle.onto] if bundle.onto else [])):
        found += _biases(each) if isinstance(each, Bundle) else []
    return found
