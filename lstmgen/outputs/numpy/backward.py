"""`backward` as lines: a fork is one line per reader, and carries the number of its equation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ...derivation.chain import Contribution, Gradient
from ...language.expressions import Adjoint, Call, Expression, Outside, Product, walk
from ...language.shapes import Shape, shape_of
from ...language.text import ATOM, PRODUCT, SUM
from ...schedule.plan import AFTER, BEFORE, LAST, LOOP, BiasStack, Block, Stack
from ...schedule.records import (
    EVERY_STEP, BackwardTerm, Carry, FromFinalState, FromNextStep, Gather, Share, StoredParameter,
)
from .lines import Line, Piece, axes, indented, numbered, statement
from .places import EACH, LAST_STEP, WHOLE, Places
from .spelling import ENTRIES, Spelled, is_fill
from .sums import OUTSIDE, Sums, moves, reader_of


class BackwardPrinter(Sums):
    """`ends` is the name of what tells, between checkpoints, whether the last step is in this part."""

    def __init__(self, places: Places, ends: str):
        super().__init__(places)
        self.ends = ends
        self.untold: dict[str, int] = {}  # numbers of adjoints that equal others, until the first line that reads them
        for gather in self.backward.gathers():
            equal = self._equal(gather)
            if equal is not None:
                self.places.equal[gather.gradient.value] = equal
                self.untold[gather.gradient.value] = gather.number

    def _equal(self, gather: Gather) -> Adjoint | Outside | None:
        """The adjoint, or what comes from outside, that an adjoint is without anything done to it."""
        graph, name = self.graph, gather.gradient.value
        match gather.terms:
            case (Share(contribution=Contribution(at_reader=Adjoint() | Outside() as other)),) if (
                    not other.lag and not gather.at_last and graph.shapes[other.name] == gather.gradient.shape):
                pass
            case _:
                return None
        block = self.block_of.get(name)
        in_array = block is not None and (len(block.stages) > 1 or block.phase == LOOP)
        if in_array or name in graph.inputs or name in self.places.next:
            return None
        if (name in graph.static) != (other.name in graph.static):
            return None
        kept_as_long = isinstance(other, Outside) or self.places.lives_as_long(other.name, name)
        return other if kept_as_long else None

    def lines(self) -> list[Line]:
        backward = self.backward
        lines = self._at_the_end([*self._block_arrays(LAST), *self._gathers(backward.last, LAST_STEP)])
        lines += [*self._block_arrays(AFTER), *self._gathers(backward.after, WHOLE)]
        lines += self._hoisted_products()
        if backward.loop:
            lines += self._loop()
        lines += [*self._block_arrays(BEFORE), *self._gathers(backward.before, WHOLE)]
        lines += self._gathers(backward.inputs, WHOLE)
        for gather in backward.still:
            if gather.gradient.value in self.places.equal:
                continue
            lines += self._fork(f"d_{gather.gradient.value}", gather, self._summed_pieces(gather.terms), "")
        return lines

    def parameter_lines(self) -> list[Line]:
        """The entries of the dictionary of gradients, in the order of storage."""
        return [self._reduced(reduction) for reduction in self.backward.parameters]

    def _at_the_end(self, lines: list[Line]) -> list[Line]:
        """Lines for the last step alone: between checkpoints they hold for the last part alone."""
        return [Line(f"if {self.ends}:"), *indented(lines)] if self.ends and lines else lines

    # --- before and after the loop

    def _gathers(self, gathers: Iterable[Gather], place: str) -> list[Line]:
        lines = []
        for gather in gathers:
            name = gather.gradient.value
            if name in self.places.equal:
                continue
            block = self.block_of.get(name)
            left = f"d_{name}[...]" if block is not None and len(block.stages) > 1 else f"d_{name}"
            pieces = self._pieces(gather.terms, place)
            if gather.at_last and len(pieces) == 1 and " " not in pieces[0].text:
                # what is added at the last step must not reach somebody else's array
                pieces = [replace(pieces[0], text=f"{pieces[0].text}.copy()")]
            lines += self._fork(left, gather, pieces, place)
            lines += self._at_the_end([
                Line(f"d_{name}[-1] += {piece.text}", f"({gather.number}) {piece.comment}", piece.about)
                for piece in self._pieces(gather.at_last, LAST_STEP)
            ])
        return lines

    def _fork(self, left: str, gather: Gather, pieces: list[Piece], place: str) -> list[Line]:
        """The sum at a fork; of what no step changes, where there is no place."""
        T, B = self.places.T, self.places.B
        leading = {"": (), LAST_STEP: (B,)}.get(place, (T, B))
        if not pieces:
            pieces = [Piece(f"np.zeros({axes(gather.gradient.shape, *leading)}, dtype)", "no reader")]
        elif place and not any(moves(term, self.graph.static) for term in gather.terms):
            pieces = [self._same_everywhere(gather.gradient, gather.terms, place, leading)]
        return self._numbered(left, pieces, gather.gradient, gather.number, place or WHOLE)

    def _block_arrays(self, phase: str) -> list[Line]:
        """The arrays of the blocks of a phase, and a name for the part of each stage."""
        lines = []
        for block in self.plan.blocks:
            if block.phase != phase:
                continue
            leading = (self.places.B,) if phase == LAST else (self.places.T, self.places.B)
            name = self.places.block_gradient[block]
            if len(block.stages) == 1:
                if phase == LOOP:
                    shape = axes(self.graph.shapes[block.stages[0]], *leading)
                    lines.append(Line(f"{name} = np.empty({shape}, dtype)"))
                continue
            whole = axes((self.plan.block_size(block),), *leading)
            lines.append(Line(f"{name} = np.empty({whole}, dtype)", "side by side, as their weights are stacked"))
            lines += [Line(f"d_{stage} = {name}{self.places.part(block.stages, stage, stage, '..., ')}")
                      for stage in block.stages]
        return lines

    def _hoisted_products(self) -> list[Line]:
        """What stages after the loop send into it through matrices, for all steps at once."""
        lines = []
        for stack in self.backward.hoisted:
            name = self.hoisted[stack] = self.places.fresh(f"d_{stack.vector.name}_{stack.name}")
            numbers = self._told_here(*map(Adjoint, stack.stages))
            piece = Piece(self._back(stack, WHOLE), ", ".join(stack.stages), numbers)
            lines.append(Line(f"{name} = {piece.text}", piece.comment, self._keys(stack)))
        return lines

    def _back(self, stack: Stack, place: str) -> str:
        gradient = Spelled(self._side_by_side(self._block(stack), stack.stages, place), ATOM, 1, True)
        return self.places.speller(place).product(gradient, stack.name, turned=False).text

    def _block(self, stack: Stack | BiasStack) -> Block:
        return self.block_of[stack.stages[0]]

    # --- the loop

    def _loop(self) -> list[Line]:
        lines = self._block_arrays(LOOP)
        T, B = self.places.T, self.places.B
        in_loop = {gather.gradient.value for gather in self.backward.loop} - self.places.equal.keys()
        for buffer in self.places.schedule.buffers:
            if buffer.is_adjoint and buffer.extent == EVERY_STEP and buffer.name in in_loop - self.block_of.keys():
                lines.append(Line(f"d_{buffer.name} = np.empty({axes(buffer.shape, T, B)}, dtype)"))
        for carry in self.backward.carries:
            lines += self._carry_starts(carry)
        body: list[Line] = []
        for gather in self.backward.loop:
            body += self._at_step(gather)
        for carry in self.backward.carries:
            body += self._sent(carry)
        return [*lines, *self.places.turned_matrices(), Line(f"for t in reversed(range({T})):"), *indented(body)]

    def _carry_starts(self, carry: Carry) -> list[Line]:
        name = self.places.next[carry.gradient.value]
        outside = [Piece(f"dstate.{term.state}", f"{OUTSIDE}, through the final state")
                   for term in carry.start if isinstance(term, FromFinalState)]
        last = self._pieces([term for term in carry.start if not isinstance(term, FromFinalState)], LAST_STEP)
        if not self.ends:
            return statement(name, [*outside, *last], "")
        nothing = Piece(f"np.zeros({axes(carry.gradient.shape, self.places.B)}, dtype)")
        added = [Line(f"{name} = {name} + {piece.text}", piece.comment, piece.about) for piece in last]
        return [*statement(name, outside or [nothing], ""), *self._at_the_end(added)]

    def _at_step(self, gather: Gather) -> list[Line]:
        name = gather.gradient.value
        if name in self.places.equal:
            return []
        pieces = []
        for term in gather.terms:
            if isinstance(term, FromNextStep):
                told = f"step t+1: {', '.join(term.readers)}" if term.readers else "the last step"
                about = tuple(fork.key for fork in gather.gradient.through_time())
                pieces.append(Piece(self.places.next[name], told, about=about))
        pieces += self._pieces([term for term in gather.terms if not isinstance(term, FromNextStep)], EACH)
        if not pieces:
            pieces = [Piece(f"np.zeros({axes(gather.gradient.shape, self.places.B)}, dtype)", "no reader")]
        left = self.places.name_of(EACH)(Adjoint(name))
        return self._numbered(left, pieces, gather.gradient, gather.number, EACH)

    def _sent(self, carry: Carry) -> list[Line]:
        name, value, number = self.places.next[carry.gradient.value], carry.gradient.value, carry.number
        pieces = self._pieces(carry.sent, EACH)
        if not pieces:
            pieces = [Piece(f"np.zeros_like({name})", "no reader")]
        elif not any(moves(term, self.graph.static) for term in carry.sent):
            pieces = [self._same_everywhere(carry.gradient, carry.sent, EACH, (self.places.B,))]
        if len(pieces) == 1:
            shown = numbered(sorted((*pieces[0].numbers, number)))
            told = f"{shown} to {value}[t-1], from {pieces[0].readers}"
            lines = [Line(f"{name} = {pieces[0].text}", told, pieces[0].about)]
        else:
            lines = [Line(f"# ({number}) to {value}[t-1]: what step t sends back, one line per reader"),
                     *statement(name, pieces, "")]
        for piece in self._pieces(carry.sent_by_last, LAST_STEP):
            lines.append(Line(f"if {self.ends + ' and ' if self.ends else ''}t == {self.places.T} - 1:"))
            lines.append(Line(f"    {name} = {name} + {piece.text}", piece.comment, piece.about))
        return lines

    # --- contributions

    def _told_here(self, *expressions: Expression) -> tuple[int, ...]:
        """The numbers of adjoints without a line of their own that are read here first."""
        names = [node.name for expression in expressions for node in walk(expression) if isinstance(node, Adjoint)]
        found = []
        for name in names:
            while name in self.untold:
                found.append(self.untold.pop(name))
                name = self.places.equal[name].name
        return tuple(sorted(found))

    def _same_everywhere(self, gradient: Gradient, terms: tuple[BackwardTerm, ...], place: str,
                         leading: tuple[str, ...]) -> Piece:
        """What contributions send back that is the same at every step and example, in an array of its own."""
        speller = self.places.speller(place)
        forks = [term.contribution for term in terms if isinstance(term, Share)]
        same = " + ".join(speller.thin(fork.at_reader).inside(SUM) for fork in forks)
        numbers = self._told_here(*(fork.at_reader for fork in forks))
        text = f"np.full({axes(gradient.shape, *leading)}, {same}, dtype)"
        return Piece(text, ", ".join(map(reader_of, forks)), numbers, tuple(fork.key for fork in forks))

    # --- as `Sums` asks for it

    @property
    def library(self) -> str:
        return "np"

    def _beside(self, left: str, rows: list[Line]) -> list[Line]:
        return [Line(f"{left} = np.concatenate(["), *rows, Line("], axis=-1)")]

    def _side_by_side(self, block: Block, stages: tuple[str, ...], place: str) -> str:
        return self.places.columns(block, stages, place == EACH)

    def _start(self, fork: Contribution) -> Piece:
        text = f"({self.places.next[fork.reader]}.sum(0) if tape.learned_start else np.zeros_like({fork.target}))"
        return Piece(text, f"the start of {fork.reader}", about=(fork.key,))

    def _constant(self, term: Expression, spelled: Spelled, count: str) -> str:
        return f"np.asarray({count} * {spelled.inside(PRODUCT)}, dtype)"

    def _none(self, stored: StoredParameter) -> str:
        return f"np.zeros({axes(stored.shape)}, dtype)"

    def _whole(self, text: str, stored: StoredParameter) -> str:
        """A sum over all entries is a number, where `named` hands out arrays."""
        return text if stored.shape else f"np.asarray({text}, dtype)"

    def _at_last(self, text: str, shape: Shape) -> str:
        """Between checkpoints, it is in the last part alone."""
        return f"({text} if {self.ends} else np.zeros({axes(shape)}, dtype))" if self.ends else text

    def _summed_pair(self, term: Product, place: str) -> str | None:
        """Without an array of the products: a factor that is the same along its last axes is read without them."""
        if len(term.factors) != 2:
            return None
        factors, ranks = [], []
        for factor in term.factors:
            ranks.append(len(shape_of(factor, self.graph.shapes)))
            while isinstance(factor, Call) and is_fill(factor):
                factor = factor.arguments[0]
            factors.append(self.places.speller(place).spell(factor))
        if ranks[0] != ranks[1] or not ranks[0] or not all(factor.moving for factor in factors):
            return None
        entries, leading = ENTRIES[ranks[0]], "b" if place == LAST_STEP else "tb"
        axes_of = [leading + entries[: factor.rank] for factor in factors]
        return f'np.einsum("{axes_of[0]},{axes_of[1]}->{entries}", {factors[0].text}, {factors[1].text})'
