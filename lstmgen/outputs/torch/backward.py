"""`_backward` as lines: a fork is one line per reader, and carries the number of its equation."""

from __future__ import annotations

from collections.abc import Iterable

from ...derivation.chain import Contribution, Gradient
from ...language.expressions import Expression, total
from ...language.text import ATOM, PRODUCT
from ...schedule.plan import AFTER, BEFORE, LAST, LOOP, Block, Stack
from ...schedule.records import (
    BackwardTerm, Carry, FromFinalState, FromNextStep, Gather, Reduce, Share, StoredParameter, ToStart,
)
from ..numpy.lines import Line, Piece, axes, indented, size, statement
from ..numpy.places import LAST_STEP, WHOLE
from ..numpy.spelling import Spelled
from ..numpy.sums import OUTSIDE, Sums, moves, reader_of, times_loss
from .places import BACK, TorchPlaces


class BackwardPrinter(Sums):
    """Prints the sums of contributions; adjoints that a stored matrix needs side by side are put there when all are known."""

    places: TorchPlaces

    def __init__(self, places: TorchPlaces):
        super().__init__(places)
        self.joined: dict[tuple[str, ...], str] = {}  # adjoints that are side by side by now: the names of the tensors
        self.lines_: list[Line] = []

    def lines(self) -> list[Line]:
        backward = self.backward
        self._gathers(backward.last, LAST_STEP)
        self._gathers(backward.after, WHOLE)
        self._blocks(LAST, AFTER)
        self._hoisted_products()
        if backward.loop:
            self._loop()
        self._gathers(backward.before, WHOLE)
        self._blocks(BEFORE)
        self._gathers(backward.inputs, WHOLE)
        for gather in backward.still:
            self._fork(gather, self._summed_pieces(gather.terms), "")
        return self.lines_

    def parameter_lines(self) -> list[Line]:
        """The entries of the dictionary of gradients, in the order of storage; a learned start's is not among them."""
        return [self._reduced(reduction) for reduction in self.backward.parameters if self.is_here(reduction)]

    @staticmethod
    def is_here(reduction: Reduce) -> bool:
        """Whether a parameter's gradient comes from here: that of a learned start alone comes from PyTorch."""
        return not reduction.terms or not all(isinstance(term, ToStart) for term in reduction.terms)

    def _add(self, *lines: Line) -> None:
        self.lines_ += lines

    # --- before and after the loop

    def _gathers(self, gathers: Iterable[Gather], place: str) -> None:
        for gather in gathers:
            name = gather.gradient.value
            self._fork(gather, self._pieces(gather.terms, place), place)
            for piece in self._pieces(gather.at_last, LAST_STEP):
                self.places.helpers.add("at_last")
                self._add(Line(f"d_{name} = _at_last(d_{name}, {piece.text})", f"({gather.number}) {piece.comment}"))

    def _fork(self, gather: Gather, pieces: list[Piece], place: str) -> None:
        """The sum at a fork; of what no step changes, where there is no place."""
        T, B = self.places.T, self.places.B
        leading = {"": (), LAST_STEP: (B,)}.get(place, (T, B))
        if not pieces:
            pieces = [self._nothing(gather.gradient, *leading)]
        elif place and not any(moves(term, self.graph.static) for term in gather.terms):
            pieces = [self._same_everywhere(gather.gradient, gather.terms, place, leading)]
        self._add(*self._numbered(f"d_{gather.gradient.value}", pieces, gather.gradient, gather.number, place or WHOLE))

    def _nothing(self, gradient: Gradient, *leading: str) -> Piece:
        return Piece(f"{self.places.like}.new_zeros({axes(gradient.shape, *leading)})", "no reader")

    def _hoisted_products(self) -> None:
        """What stages after the loop send into it through matrices, for all steps at once."""
        for stack in self.backward.hoisted:
            name = self.hoisted[stack] = self.places.fresh(f"d_{stack.vector.name}_{stack.name}")
            self._add(Line(f"{name} = {self._back(stack, WHOLE)}", ", ".join(stack.stages)))

    # --- adjoints side by side

    def _blocks(self, *phases: str) -> None:
        """Every block of these phases, side by side."""
        for block in self.plan.blocks:
            if block.phase in phases:
                self._side_by_side(block, block.stages, "")

    def _side_by_side(self, block: Block, stages: tuple[str, ...], place: str) -> str:
        """The adjoints of neighbouring stages of a block as one tensor, and a line that makes it if there is none yet."""
        if len(stages) == 1:
            return f"d_{stages[0]}"
        if block.stages in self.joined:
            return self.places.columns(block, stages)
        if stages not in self.joined:
            name = self.places.block_gradient[block]
            if stages != block.stages:
                name = self.places.fresh(f"{name}_part", ("part", block.stages, stages))
            self.joined[stages] = name
            listed = ", ".join(f"d_{stage}" for stage in stages)
            together = f"{name} = {self.places.package}.cat([{listed}], -1)"
            self._add(Line(together, "side by side, as their weights are stacked"))
        return self.joined[stages]

    def _back(self, stack: Stack, place: str) -> str:
        gradient = Spelled(self._side_by_side(self.block_of[stack.stages[0]], stack.stages, place), ATOM, 1, True)
        return self.places.speller(place).product(gradient, stack.name, turned=False).text

    # --- the loop

    def _loop(self) -> None:
        places, outer = self.places, self.lines_
        for carry in self.backward.carries:
            self._carry_starts(carry)
        self.lines_ = []
        for gather in self.backward.loop:
            self._at_step(gather)
        for carry in self.backward.carries:
            self._sent(carry)
        self._blocks(LOOP)
        collected = self._collected()
        names, shapes = [name for name, _ in collected], [shape for _, shape in collected]
        steps = places.steps
        if collected:
            self._add(Line(f"{steps}.append(({', '.join(names)}{',' if len(names) == 1 else ''}))"))
        body, self.lines_ = self.lines_, outer
        if collected:
            self._add(Line(f"{steps} = []"))
        self._add(Line(f"for t in reversed(range({places.T})):"), *indented(body))
        if collected:
            self._add(places.over_time(names, shapes, f"{steps}[::-1]"))
        for block in self.plan.blocks:
            if block.phase == LOOP and len(block.stages) > 1:
                lengths = ", ".join(size(self.graph.shapes[stage][0]) for stage in block.stages)
                listed = ", ".join(f"d_{stage}" for stage in block.stages)
                self._add(Line(f"{listed} = {places.block_gradient[block]}.split(({lengths}), -1)"))

    def _collected(self) -> list[tuple[str, str]]:
        """What the loop computes and something after it reads: names, and shapes of one step."""
        B, blocks = self.places.B, [block for block in self.plan.blocks if block.phase == LOOP]
        found = [(self.places.block_gradient[block], axes((self.plan.block_size(block),), B)) for block in blocks]
        inside = {stage for block in blocks for stage in block.stages}
        for gather in self.backward.loop:
            name = gather.gradient.value
            if name in self.plan.remembered and name not in inside:
                found.append((f"d_{name}", axes(gather.gradient.shape, B)))
        return found

    def _carry_starts(self, carry: Carry) -> None:
        outside = [Piece(f"dstate.{term.state}", f"{OUTSIDE}, through the final state")
                   for term in carry.start if isinstance(term, FromFinalState)]
        last = self._pieces([term for term in carry.start if not isinstance(term, FromFinalState)], LAST_STEP)
        self._add(*statement(self.places.next[carry.gradient.value], [*outside, *last], ""))

    def _at_step(self, gather: Gather) -> None:
        name, pieces = gather.gradient.value, []
        for term in gather.terms:
            if isinstance(term, FromNextStep):
                told = f"step t+1: {', '.join(term.readers)}" if term.readers else "the last step"
                pieces.append(Piece(self.places.next[name], told))
        pieces += self._pieces([term for term in gather.terms if not isinstance(term, FromNextStep)], BACK)
        pieces = pieces or [self._nothing(gather.gradient, self.places.B)]
        if not any(moves(term, self.graph.static) for term in gather.terms) and gather.terms:
            pieces = [self._same_everywhere(gather.gradient, gather.terms, BACK, (self.places.B,))]
        self._add(*self._numbered(f"d_{name}", pieces, gather.gradient, gather.number, BACK))

    def _sent(self, carry: Carry) -> None:
        name, value, number = self.places.next[carry.gradient.value], carry.gradient.value, carry.number
        pieces = self._pieces(carry.sent, BACK)
        if not pieces:
            pieces = [self._nothing(carry.gradient, self.places.B)]
        elif not any(moves(term, self.graph.static) for term in carry.sent):
            pieces = [self._same_everywhere(carry.gradient, carry.sent, BACK, (self.places.B,))]
        if len(pieces) == 1:
            self._add(Line(f"{name} = {pieces[0].text}", f"({number}) to {value}[t-1], from {pieces[0].readers}"))
        else:
            self._add(Line(f"# ({number}) to {value}[t-1]: what step t sends back, one line per reader"),
                      *statement(name, pieces, ""))
        for piece in self._pieces(carry.sent_by_last, LAST_STEP):
            self._add(Line(f"if t == {self.places.T} - 1:"), Line(f"    {name} = {name} + {piece.text}", piece.comment))

    # --- contributions

    def _same_everywhere(self, gradient: Gradient, terms: tuple[BackwardTerm, ...], place: str,
                         leading: tuple[str, ...]) -> Piece:
        """What contributions of the loss send back that is the same at every step and example."""
        speller = self.places.speller(place)
        forks = [term.contribution for term in terms if isinstance(term, Share)]
        whole = speller.thin(total(*(fork.at_reader for fork in forks)))
        text = f"(dloss * {whole.inside(PRODUCT)}).expand({axes(gradient.shape, *leading)})"
        return Piece(text, ", ".join(map(reader_of, forks)))

    # --- as `Sums` asks for it

    @property
    def library(self) -> str:
        return self.places.package

    def _beside(self, left: str, rows: list[Line]) -> list[Line]:
        return [Line(f"{left} = {self.library}.cat(["), *rows, Line("], -1)")]

    def _seeded(self, term: Expression, spelled: Spelled) -> Spelled:
        return times_loss("dloss", term, spelled)

    def _start(self, fork: Contribution) -> None:
        """`_start` of the module copies the parameter for each example, and PyTorch knows how to differentiate that."""

    def _constant(self, term: Expression, spelled: Spelled, count: str) -> str:
        return f"{count} * {spelled.inside(PRODUCT)}"

    def _none(self, stored: StoredParameter) -> str:
        return f"{self.places.like}.new_zeros({axes(stored.shape)})"
