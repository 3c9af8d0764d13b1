"""`backward` as lines: a fork is one line per reader, and carries the number of its equation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ...derivation.chain import OUTPUT, TRANSPOSED, Contribution, Gradient, Key
from ...language.expressions import Adjoint, Call, Expression, Number, Outside, Product, Value, walk
from ...language.shapes import Shape, shape_of
from ...language.text import ATOM, PRODUCT, SUM
from ...schedule.plan import AFTER, BEFORE, LAST, LOOP, BiasStack, Block, Stack
from ...schedule.records import (
    EVERY_STEP, FINAL, Back, BackwardTerm, Carry, FromFinalState, FromNextStep, Gather, Reduce, Share, Summed, ToStart,
)
from .lines import About, Line, Piece, axes, indented, numbered, statement
from .places import EACH, LAST_STEP, WHOLE, Places
from .spelling import ENTRIES, Speller, Spelled, is_fill

OUTSIDE = "from outside"


class BackwardPrinter:
    """`ends` is the name of what tells, between checkpoints, whether the last step is in this part."""

    def __init__(self, places: Places, ends: str):
        self.places, self.graph, self.plan = places, places.graph, places.schedule.plan
        self.backward, self.ends = places.schedule.backward, ends
        self.block_of = {stage: block for block in self.plan.blocks for stage in block.stages}
        self.hoisted: dict[Stack, str] = {}  # what stages after the loop send into it: the names of the arrays
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
        gradient = Spelled(self.places.columns(self._block(stack), stack.stages, place == EACH), ATOM, 1, True)
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

    def _numbered(self, left: str, pieces: list[Piece], gradient: Gradient, number: int, place: str) -> list[Line]:
        if len(pieces) == 1:
            reader = pieces[0].readers
            told = reader if reader.startswith(OUTSIDE) else f"from {reader}"
            about: tuple[About, ...] = (f"d_{gradient.value}", *pieces[0].about)
            shown = numbered(sorted((*pieces[0].numbers, number)))
            return [Line(f"{left} = {pieces[0].text}", f"{shown} {told}", about)]
        head = Line(f"# ({number}) fork of {gradient.value}: one line per reader", about=(f"d_{gradient.value}",))
        parts = as_parts(gradient.forks)
        if parts is not None and len(parts) == len(pieces):
            return [head, *_concatenation(left, parts, pieces, self.places.speller(place))]
        return [head, *statement(left, pieces, "")]

    def _pieces(self, terms: Iterable[BackwardTerm], place: str) -> list[Piece]:
        """The code of each term, with its readers."""
        terms = tuple(terms)
        # beside a full array, a scalar that goes to every entry need not be copied to each
        full = any(not isinstance(term, Share) or not is_fill(term.contribution.at_reader) for term in terms)
        pieces = []
        for term in terms:
            match term:
                case Share(contribution=fork):
                    speller = self.places.speller(place)
                    spelled = speller.thin(fork.at_reader) if full else speller.spell(fork.at_reader)
                    told = self._told_here(fork.at_reader)
                    pieces.append(Piece(spelled.inside(SUM), reader_of(fork), told, (fork.key,)))
                case Back(stack=stack, is_hoisted=is_hoisted):
                    text = f"{self.hoisted[stack]}[t]" if is_hoisted else self._back(stack, place)
                    told = self._told_here(*map(Adjoint, stack.stages))
                    pieces.append(Piece(text, ", ".join(stack.stages), told, self._keys(stack)))
                case _:
                    raise TypeError(f"no term of a moving adjoint: {term!r}")
        return pieces

    def _keys(self, stack: Stack) -> tuple[Key, ...]:
        """The contributions that one product with a stack computes together."""
        gradient = self.places.schedule.derivation.adjoints[stack.vector.name]
        return tuple(fork.key for fork in gradient.forks
                     if fork.kind == TRANSPOSED and fork.reader in stack.stages and fork.lag == -stack.vector.lag)

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

    # --- what no step changes

    def _summed_pieces(self, terms: Iterable[BackwardTerm]) -> list[Piece]:
        """Contributions to what no step changes: summed over steps and examples."""
        pieces = []
        for term in terms:
            match term:
                case ToStart(contribution=fork):
                    start = f"{self.places.next[fork.reader]}.sum(0)"
                    text = f"({start} if tape.learned_start else np.zeros_like({fork.target}))"
                    pieces.append(Piece(text, f"the start of {fork.reader}", about=(fork.key,)))
                case Share(contribution=fork):
                    text = self.places.speller(WHOLE).spell(fork.at_reader).inside(SUM)
                    pieces.append(Piece(text, fork.reader, self._told_here(fork.at_reader), (fork.key,)))
                case Summed(contribution=fork, over=over):
                    text = self._summed(fork.at_reader, LAST_STEP if over == FINAL else WHOLE)
                    if over == FINAL:
                        text = self._or_zero(text, self.graph.shapes[fork.target])
                    pieces.append(Piece(text, fork.reader, self._told_here(fork.at_reader), (fork.key,)))
                case _:
                    raise TypeError(f"no term of a static adjoint: {term!r}")
        return pieces

    def _or_zero(self, text: str, shape: Shape) -> str:
        """What reaches a parameter at the last step: between checkpoints, in the last part alone."""
        return f"({text} if {self.ends} else np.zeros({axes(shape)}, dtype))" if self.ends else text

    def _summed(self, term: Expression, place: str) -> str:
        over = "0" if place == LAST_STEP else "(0, 1)"
        speller = self.places.speller(place)
        if isinstance(term, Call) and term.function == "outer":
            left, right = (speller.spell(argument) for argument in term.arguments)
            if left.moving and right.moving:
                self.places.helpers.add("sum_of_outer")
                return f"_sum_of_outer({left.text}, {right.text})"
            if left.moving:
                return f"np.outer({left.inside(ATOM)}.sum({over}), {right.text})"
            return f"np.outer({left.text}, {right.inside(ATOM)}.sum({over}))"
        inner = term
        while isinstance(inner, Call) and inner.function == "sum":
            inner = inner.arguments[0]
        is_scalar = inner is not term
        spelled = speller.spell(inner)
        pair = None if is_scalar else self._summed_pair(term, place)
        if pair:
            return pair
        if not spelled.moving:
            count = self.places.B if place == LAST_STEP else f"{self.places.T} * {self.places.B}"
            return f"np.asarray({count} * {speller.spell(term).inside(PRODUCT)}, dtype)"
        if is_scalar or spelled.rank == 0:
            return f"{spelled.inside(ATOM)}.sum()"
        return f"{spelled.inside(ATOM)}.sum({over})"

    def _summed_pair(self, term: Expression, place: str) -> str | None:
        """The sum of products of two arrays over steps and examples, without an array of the products.

        A factor that is the same along its last axes is read without them.
        """
        if not (isinstance(term, Product) and len(term.factors) == 2):
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

    def _reduced(self, reduction: Reduce) -> Line:
        stored, numbers = reduction.stored, reduction.numbers
        text = self._stacked_gradient(reduction)
        if text is None:
            pieces = self._summed_pieces(reduction.terms)
            numbers = tuple(sorted({*numbers, *(number for piece in pieces for number in piece.numbers)}))
            text = " + ".join(piece.text for piece in pieces) or f"np.zeros({axes(stored.shape)}, dtype)"
            if not stored.shape and pieces:
                text = f"np.asarray({text}, dtype)"  # a sum over all entries is a number, where `named` hands out arrays
        shown = numbered(numbers)
        if len(numbers) > 2 and numbers == tuple(range(numbers[0], numbers[0] + len(numbers))):
            shown = f"({numbers[0]}) to ({numbers[-1]})"
        readers = f" from {', '.join(reduction.readers)}" if reduction.readers else ""
        gradients = [self.places.schedule.derivation.adjoints[member.name] for member in stored.members]
        about: list[About] = [f"d_{gradient.value}" for gradient in gradients]
        about += [fork.key for gradient in gradients for fork in gradient.forks]
        return Line(f'"{stored.name}": {text},', f"{shown}{readers}", tuple(about))

    def _stacked_gradient(self, reduction: Reduce) -> str | None:
        """The gradient of parameters that are stored under each other: one product, or one sum."""
        stack, block = reduction.stack, reduction.block
        if stack is None or block is None:
            return None
        place = LAST_STEP if block.phase == LAST else WHOLE
        part = self.places.columns(block, stack.stages)
        if isinstance(stack, Stack):
            self.places.helpers.add("sum_of_outer")
            text = f"_sum_of_outer({part}, {self.places.name_of(place)(stack.vector)})"
        else:
            text = f"{part}.sum({'0' if place == LAST_STEP else '(0, 1)'})"
        return self._or_zero(text, reduction.stored.shape) if place == LAST_STEP else text


def moves(term: BackwardTerm, static: frozenset[str]) -> bool:
    """Whether what a term sends back is not the same at all steps and examples."""
    if not isinstance(term, Share):
        return True
    leaves = (node for node in walk(term.contribution.at_reader) if isinstance(node, (Value, Adjoint, Outside)))
    return any(leaf.name not in static for leaf in leaves)


def reader_of(fork: Contribution) -> str:
    """Where a contribution comes from, for a comment."""
    return f"{OUTSIDE}, through the output" if fork.kind == OUTPUT else fork.reader


def as_parts(forks: tuple[Contribution, ...]) -> list[Expression] | None:
    """The gradients of a value's n equal parts, if each reader takes one part, in order, and all are taken."""
    parts = []
    for place, fork in enumerate(forks):
        match fork.at_reader:
            case Call(function="Place", arguments=(part, Number(value=k), Number(value=n))) if (
                    not fork.lag and k == place and n == len(forks)):
                parts.append(part)
            case _:
                return None
    return parts or None


def _concatenation(left: str, parts: list[Expression], pieces: list[Piece], spell: Speller) -> list[Line]:
    """Gradients that do not overlap stand side by side instead of being added to zeros."""
    rows = [Line(f"    {spell(part)},", piece.comment, piece.about) for part, piece in zip(parts, pieces)]
    return [Line(f"{left} = np.concatenate(["), *rows, Line("], axis=-1)")]
