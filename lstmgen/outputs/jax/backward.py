"""`backward` as lines: a fork is one line per reader, and carries the number of its equation.

Adjoints whose weights are stacked are computed one by one and then put side by side, as nothing is written in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...derivation.chain import Contribution
from ...language.expressions import Adjoint, Expression, Outside, Value, walk
from ...language.shapes import shape_of
from ...language.text import ATOM, PRODUCT, SUM
from ...schedule.plan import LOOP, BiasStack, Block, Stack
from ...schedule.records import (
    Back, BackwardTerm, Carry, FromFinalState, FromNextStep, Gather, Share, StoredParameter, Summed,
)
from ..numpy.lines import Line, Piece, as_tuple, axes, statement
from ..numpy.places import EACH, LAST_STEP, WHOLE
from ..numpy.spelling import Leaf, Spelled
from ..numpy.sums import OUTSIDE, Sums, moves, reader_of, times_loss
from .places import JaxPlaces
from .scan import Scan


class BackwardPrinter(Sums):
    """`given_state` is the name of the state that the caller gave: None in it means the learned one."""

    places: JaxPlaces

    def __init__(self, places: JaxPlaces, given_state: str):
        super().__init__(places)
        self.given_state = given_state
        self.joined: dict[tuple[str, ...], str] = {}  # stages whose adjoints are side by side by now: the name of the array
        self.done: set[str] = set()  # stages whose adjoints have been computed

    def lines(self) -> list[Line]:
        backward = self.backward
        lines = self._shifted()
        lines += [*self._gathers(backward.last, LAST_STEP), *self._gathers(backward.after, WHOLE)]
        lines += self._hoisted_products()
        if backward.loop:
            lines += self._loop()
        lines += [*self._gathers(backward.before, WHOLE), *self._gathers(backward.inputs, WHOLE)]
        for gather in backward.still:
            lines += self._fork(f"d_{gather.gradient.value}", gather, self._summed_pieces(gather.terms), "")
        return lines

    def parameter_lines(self) -> list[Line]:
        """The entries of the dictionary of gradients, in the order of storage."""
        return [self._reduced(reduction) for reduction in self.backward.parameters]

    def _shifted(self) -> list[Line]:
        """The arrays of states one step earlier, of those that are read."""
        lines = []
        for entry in self.places.schedule.tape:
            if entry.lag:
                self.places.helpers.add("shifted")
                array = f"_shifted({self.places.start}.{entry.name}, {self.places.own(entry.name)})"
                lines.append(Line(f"{self.places.previous[entry.name]} = {array}", "one step earlier"))
        return lines

    # --- before and after the loop

    def _gathers(self, gathers: Iterable[Gather], place: str) -> list[Line]:
        lines = []
        for gather in gathers:
            name = gather.gradient.value
            lines += [*self._joined_for(gather.terms, place), *self._joined_for(gather.at_last, LAST_STEP)]
            lines += self._fork(f"d_{name}", gather, self._pieces(gather.terms, place), place)
            for piece in self._pieces(gather.at_last, LAST_STEP):
                lines.append(Line(f"d_{name} = d_{name}.at[-1].add({piece.text})", f"({gather.number}) {piece.comment}"))
            lines += self._block_lines(name, place)
        return lines

    def _fork(self, left: str, gather: Gather, pieces: list[Piece], place: str) -> list[Line]:
        """The sum at a fork; of what no step changes, where there is no place."""
        T, B = self.places.T, self.places.B
        leading = {"": (), LAST_STEP: (B,), EACH: (B,)}.get(place, (T, B))
        shape = axes(gather.gradient.shape, *leading)
        if not pieces:
            pieces = [Piece(self.places.speller(place).zeros(shape), "no reader")]
        elif place and not any(moves(term, self.graph.static) for term in gather.terms):
            pieces = [self._same_everywhere(gather.terms, place, shape)]
        return self._numbered(left, pieces, gather.gradient, gather.number, place or WHOLE)

    def _hoisted_products(self) -> list[Line]:
        """What stages after the loop send into it through matrices, for all steps at once."""
        lines = []
        for stack in self.backward.hoisted:
            lines += self._joined(stack, WHOLE)
            name = self.hoisted[stack] = self.places.fresh(f"d_{stack.vector.name}_{stack.name}")
            lines.append(Line(f"{name} = {self._back(stack, WHOLE)}", ", ".join(stack.stages)))
        return lines

    # --- adjoints side by side

    def _block_lines(self, stage: str, place: str) -> list[Line]:
        """After the last adjoint of a block: all of them side by side."""
        self.done.add(stage)
        block = self.block_of.get(stage)
        if block is None or len(block.stages) == 1 or not self.done.issuperset(block.stages):
            return []
        name = self.joined[block.stages] = self.places.block_gradient[block]
        return [Line(f"{name} = {_concatenated(block.stages)}", "side by side, as their weights are stacked")]

    def _joined_for(self, terms: Iterable[BackwardTerm], place: str) -> list[Line]:
        return [line for term in terms if isinstance(term, Back) and not term.is_hoisted
                for line in self._joined(term.stack, place)]

    def _joined(self, stack: Stack, place: str) -> list[Line]:
        """The adjoints of a stack's stages side by side, if they are needed before the others of their block are there."""
        block = self.block_of[stack.stages[0]]
        if len(stack.stages) == 1 or block.stages in self.joined or stack.stages in self.joined:
            return []
        name = self.joined[stack.stages] = self.places.fresh(f"d_{stack.name}")
        return [Line(f"{name} = {_concatenated(stack.stages)}", "side by side, as their weights are stacked")]

    def _back(self, stack: Stack, place: str) -> str:
        gradient = Spelled(self._side_by_side(self.block_of[stack.stages[0]], stack.stages, place), ATOM, 1, True)
        return self.places.speller(place).product(gradient, self.places.own(stack.name), turned=False).text

    # --- the loop

    def _loop(self) -> list[Line]:
        places, backward = self.places, self.backward
        carries = backward.carries
        lines: list[Line] = []
        for carry in carries:
            lines += self._carry_starts(carry)
        taken = self._taken()
        body: list[Line] = []
        for gather in backward.loop:
            body += [*self._joined_for(gather.terms, EACH), *self._at_step(gather)]
            body += self._block_lines(gather.gradient.value, EACH)
        for carry in carries:
            body += self._joined_for(carry.sent, EACH)
        for carry in carries:
            start, inside = self._sent(carry)
            lines += start
            body += inside
        if any(carry.sent_by_last for carry in carries):
            taken.append(("t", f"jnp.arange({places.T})"))
        names = [places.next[carry.gradient.value] for carry in carries]
        scan = Scan(
            function=places.fresh("at_step", "function of a step"),
            carry=names, carry_next=names, carry_start=as_tuple(names), record="", carry_end=as_tuple(names),
            taken=taken, given=self._given(), body=body, steps=places.T, options=", reverse=True",
            held=(places.fresh("after"), places.fresh("now", "now")),
        )
        return [*lines, *scan.lines(), *self._parts()]

    def _taken(self) -> list[tuple[str, str]]:
        """What a step reads of arrays over time, with the array."""
        terms = [term for gather in self.backward.loop for term in gather.terms]
        terms += [term for carry in self.backward.carries for term in carry.sent]
        leaves = {leaf for term in terms for leaf in _leaves(term)}
        name = self.places.name_of(EACH)
        inside = {gather.gradient.value for gather in self.backward.loop}
        found = ["dy"] if any(isinstance(leaf, Outside) for leaf in leaves) else []
        moving = [entry for entry in self.places.schedule.tape if entry.name not in self.graph.static]
        found += [name(Value(entry.name, entry.lag)) for entry in moving
                  if any(leaf.name == entry.name and leaf.lag == entry.lag for leaf in leaves if isinstance(leaf, Value))]
        found += [name(Adjoint(gather.gradient.value)) for gather in self.backward.after
                  if any(leaf.name == gather.gradient.value for leaf in leaves if isinstance(leaf, Adjoint))]
        found += [self.hoisted[term.stack] for term in terms if isinstance(term, Back) and term.is_hoisted]
        assert not inside & {gather.gradient.value for gather in self.backward.after}, "an adjoint belongs to one phase"
        return [(each, each) for each in dict.fromkeys(found)]

    def _read_outside(self) -> set[str]:
        """Stages of the loop whose adjoints at all steps are read after it, one by one."""
        backward = self.backward
        terms = [term for gather in (*backward.before, *backward.inputs) for term in (*gather.terms, *gather.at_last)]
        terms += [term for gather in backward.still for term in gather.terms]
        terms += [term for reduction in backward.parameters for term in reduction.terms]
        read = {leaf.name for term in terms for leaf in _leaves(term) if isinstance(leaf, Adjoint)}
        stacks: list[Stack | BiasStack] = [term.stack for term in terms if isinstance(term, Back)]
        stacks += [reduction.stack for reduction in backward.parameters if reduction.stack is not None]
        read |= {stack.stages[0] for stack in stacks if len(stack.stages) == 1}
        return read

    def _given(self) -> list[str]:
        """Adjoints that leave the loop: those of blocks side by side."""
        read = self._read_outside()
        found = [self.places.block_gradient[block] for block in self._loop_blocks()]
        for gather in self.backward.loop:
            stage = gather.gradient.value
            block = self.block_of.get(stage)
            if stage in read and (block is None or len(block.stages) == 1):
                found.append(f"d_{stage}")
        return found

    def _loop_blocks(self) -> list[Block]:
        return [block for block in self.plan.blocks if block.phase == LOOP and len(block.stages) > 1]

    def _parts(self) -> list[Line]:
        """The adjoints of single stages of a block, for all steps, of those that are read."""
        read = self._read_outside()
        lines = []
        for block in self._loop_blocks():
            self.joined = {stages: name for stages, name in self.joined.items()
                                 if stages[0] not in block.stages or stages == block.stages}
            for stage in block.stages:
                if stage in read:
                    part = self.places.part(block.stages, stage, stage, "..., ")
                    lines.append(Line(f"d_{stage} = {self.places.block_gradient[block]}{part}"))
        return lines

    def _carry_starts(self, carry: Carry) -> list[Line]:
        name = self.places.next[carry.gradient.value]
        pieces = [Piece(f"dstate.{term.state}", f"{OUTSIDE}, through the final state")
                  for term in carry.start if isinstance(term, FromFinalState)]
        pieces += self._pieces([term for term in carry.start if not isinstance(term, FromFinalState)], LAST_STEP)
        return [*self._joined_for(carry.start, LAST_STEP), *statement(name, pieces, "")]

    def _at_step(self, gather: Gather) -> list[Line]:
        name = gather.gradient.value
        pieces = []
        for term in gather.terms:
            if isinstance(term, FromNextStep):
                told = f"step t+1: {', '.join(term.readers)}" if term.readers else "the last step"
                pieces.append(Piece(self.places.next[name], told))
        pieces += self._pieces([term for term in gather.terms if not isinstance(term, FromNextStep)], EACH)
        if not pieces:
            zeros = self.places.speller(EACH).zeros(axes(gather.gradient.shape, self.places.B))
            pieces = [Piece(zeros, "no reader")]
        return self._numbered(f"d_{name}", pieces, gather.gradient, gather.number, EACH)

    def _sent(self, carry: Carry) -> tuple[list[Line], list[Line]]:
        """Lines before the loop, and those of a step, of what goes to the step before."""
        name, value, number = self.places.next[carry.gradient.value], carry.gradient.value, carry.number
        pieces = self._pieces(carry.sent, EACH)
        if not pieces:
            pieces = [Piece(f"jnp.zeros_like({name})", "no reader")]
        elif not any(moves(term, self.graph.static) for term in carry.sent):
            same, told = self._same(carry.sent, EACH)
            pieces = [Piece(f"jnp.full_like({name}, {same})", told)]
        if len(pieces) == 1:
            lines = [Line(f"{name} = {pieces[0].text}", f"({number}) to {value}[t-1], from {pieces[0].readers}")]
        else:
            lines = [Line(f"# ({number}) to {value}[t-1]: what step t sends back, one line per reader"),
                     *statement(name, pieces, "")]
        before = []
        for piece in self._pieces(carry.sent_by_last, LAST_STEP):
            last = self.places.fresh(f"d_{value}_last")
            before.append(Line(f"{last} = {piece.text}", f"({number}) to {value}[t-1], from {piece.comment}"))
            lines.append(Line(f"{name} += jnp.where(t == {self.places.T} - 1, {last}, 0)", "the last step alone"))
        return before, lines

    # --- contributions

    def _same(self, terms: Iterable[BackwardTerm], place: str) -> tuple[str, str]:
        """What contributions send back that is the same at every step and example, and where it comes from."""
        forks = [term.contribution for term in terms if isinstance(term, Share)]
        speller = self.places.speller(place)
        same = (self._seeded(fork.at_reader, speller.thin(fork.at_reader)) for fork in forks)
        return " + ".join(spelled.inside(SUM) for spelled in same), ", ".join(map(reader_of, forks))

    def _same_everywhere(self, terms: Iterable[BackwardTerm], place: str, shape: str) -> Piece:
        """The same, as an array of that shape."""
        same, told = self._same(terms, place)
        return Piece(self.places.speller(place).full(shape, same), told)

    # --- as `Sums` asks for it

    @property
    def library(self) -> str:
        return "jnp"

    def _beside(self, left: str, rows: list[Line]) -> list[Line]:
        return [Line(f"{left} = jnp.concatenate(["), *rows, Line("], axis=-1)")]

    def _side_by_side(self, block: Block, stages: tuple[str, ...], place: str) -> str:
        if len(stages) == 1:
            return self.places.name_of(place)(Adjoint(stages[0]))
        return self.joined.get(stages) or self.places.columns(block, stages, place == EACH)

    def _hoisted_now(self, stack: Stack) -> str:
        return self.hoisted[stack]  # a step of the scan is given its own

    def _seeded(self, term: Expression, spelled: Spelled) -> Spelled:
        return spelled if self.graph.loss is None else times_loss(f"d_{self.graph.loss}", term, spelled)

    def _start(self, fork: Contribution) -> Piece:
        start, zero = f"{self.places.next[fork.reader]}.sum(0)", f"jnp.zeros_like({self.places.own(fork.target)})"
        return Piece(f"({start} if {self.given_state} is None else {zero})", f"the start of {fork.reader}")

    def _constant(self, term: Expression, spelled: Spelled, count: str) -> str:
        shape = axes(shape_of(term, self.graph.shapes))
        return self.places.speller(WHOLE).full(shape, f"{count} * {spelled.inside(PRODUCT)}")

    def _none(self, stored: StoredParameter) -> str:
        return f'jnp.zeros_like(params["{stored.name}"])'


def _concatenated(stages: Iterable[str]) -> str:
    return f"jnp.concatenate([{', '.join(f'd_{stage}' for stage in stages)}], axis=-1)"


def _leaves(term: BackwardTerm) -> Iterator[Leaf]:
    """What the code of a term reads: values, adjoints, and what comes from outside."""
    match term:
        case Share(contribution=fork) | Summed(contribution=fork):
            yield from (node for node in walk(fork.at_reader) if isinstance(node, (Value, Adjoint, Outside)))
