"""Sums of contributions as lines, for every output whose arrays have axes for time and batch in front.

A fork is one line per reader. What differs between these outputs, each says in the methods with an empty or plain body.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from ...derivation.chain import OUTPUT, TRANSPOSED, Contribution, Gradient, Key
from ...language.expressions import Adjoint, Call, Expression, Number, Outside, Product, Value, walk
from ...language.shapes import Shape
from ...language.text import ATOM, PRODUCT, SUM
from ...schedule.plan import LAST, Block, Stack
from ...schedule.records import FINAL, Back, BackwardTerm, Reduce, Share, StoredParameter, Summed, ToStart
from .lines import About, Line, Piece, numbered, statement
from .places import LAST_STEP, WHOLE, Places
from .spelling import Spelled, is_fill

OUTSIDE = "from outside"


class Sums(ABC):
    """Prints the sums of contributions at each place of the code."""

    def __init__(self, places: Places):
        self.places, self.graph, self.plan = places, places.graph, places.schedule.plan
        self.backward = places.schedule.backward
        self.block_of = {stage: block for block in self.plan.blocks for stage in block.stages}
        self.hoisted: dict[Stack, str] = {}  # what stages after the loop send into it: the names of the arrays

    @property
    @abstractmethod
    def library(self) -> str:
        """The package of the arrays, as the code calls it."""

    @abstractmethod
    def _beside(self, left: str, rows: list[Line]) -> list[Line]:
        """Arrays side by side along their last axis."""

    @abstractmethod
    def _back(self, stack: Stack, place: str) -> str:
        """What stages send back through a stacked matrix."""

    @abstractmethod
    def _side_by_side(self, block: Block, stages: tuple[str, ...], place: str) -> str:
        """The adjoints of neighbouring stages of a block, side by side."""

    @abstractmethod
    def _start(self, fork: Contribution) -> Piece | None:
        """What the initial state sends to the parameter that it starts from; None where another does that."""

    @abstractmethod
    def _constant(self, term: Expression, spelled: Spelled, count: str) -> str:
        """`count` times a contribution that is the same at all steps and examples."""

    @abstractmethod
    def _none(self, stored: StoredParameter) -> str:
        """The gradient of a parameter that nobody reads."""

    def _hoisted_now(self, stack: Stack) -> str:
        """What stages after the loop send into it, at step t."""
        return f"{self.hoisted[stack]}[t]"

    def _seeded(self, term: Expression, spelled: Spelled) -> Spelled:
        """A contribution, times what reaches the loss from outside if it is one of the loss."""
        return spelled

    def _told_here(self, *expressions: Expression) -> tuple[int, ...]:
        """The numbers of adjoints without a line of their own that are read here first."""
        return ()

    # --- at forks

    def _numbered(self, left: str, pieces: list[Piece], gradient: Gradient, number: int, place: str) -> list[Line]:
        if len(pieces) == 1:
            reader = pieces[0].readers
            told = reader if reader.startswith(OUTSIDE) else f"from {reader}"
            about: tuple[About, ...] = (f"d_{gradient.value}", *pieces[0].about)
            shown = numbered(sorted((*pieces[0].numbers, number)))
            return [Line(f"{left} = {pieces[0].text}", f"{shown} {told}", about)]
        head = Line(f"# ({number}) fork of {gradient.value}: one line per reader", about=(f"d_{gradient.value}",))
        parts = as_parts(gradient.forks)
        if parts is not None and len(parts) == len(pieces):  # they do not overlap: side by side, not added to zeros
            speller = self.places.speller(place)
            rows = [Line(f"    {self._seeded(part, speller.spell(part)).text},", piece.comment, piece.about)
                    for part, piece in zip(parts, pieces)]
            return [head, *self._beside(left, rows)]
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
                    text = self._seeded(fork.at_reader, spelled).inside(SUM)
                    pieces.append(Piece(text, reader_of(fork), self._told_here(fork.at_reader), (fork.key,)))
                case Back(stack=stack, is_hoisted=is_hoisted):
                    text = self._hoisted_now(stack) if is_hoisted else self._back(stack, place)
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

    # --- over steps and examples

    def _summed_pieces(self, terms: Iterable[BackwardTerm]) -> list[Piece]:
        """Contributions to what no step changes: summed over steps and examples."""
        pieces = []
        for term in terms:
            match term:
                case ToStart(contribution=fork):
                    start = self._start(fork)
                    pieces += [start] if start else []
                case Share(contribution=fork):
                    text = self._seeded(fork.at_reader, self.places.speller(WHOLE).spell(fork.at_reader)).inside(SUM)
                    pieces.append(Piece(text, fork.reader, self._told_here(fork.at_reader), (fork.key,)))
                case Summed(contribution=fork, over=over):
                    text = self._summed(fork.at_reader, LAST_STEP if over == FINAL else WHOLE)
                    text = self._at_last(text, self.graph.shapes[fork.target]) if over == FINAL else text
                    pieces.append(Piece(text, fork.reader, self._told_here(fork.at_reader), (fork.key,)))
                case _:
                    raise TypeError(f"no term of a static adjoint: {term!r}")
        return pieces

    def _at_last(self, text: str, shape: Shape) -> str:
        """What reaches a parameter at the last step."""
        return text

    def _summed(self, term: Expression, place: str) -> str:
        over = "0" if place == LAST_STEP else "(0, 1)"
        speller = self.places.speller(place)
        if isinstance(term, Call) and term.function == "outer":
            left, right = (speller.spell(argument) for argument in term.arguments)
            left = self._seeded(term, left)
            if left.moving and right.moving:
                return self._sum_of_outer(left.text, right.text, left.rank)
            if left.moving and left.rank == 1:
                return f"{self.library}.outer({left.inside(ATOM)}.sum({over}), {right.text})"
            if left.rank == 1:
                return f"{self.library}.outer({left.text}, {right.inside(ATOM)}.sum({over}))"
        inner, sums = term, 0
        while isinstance(inner, Call) and inner.function == "sum":
            inner, sums = inner.arguments[0], sums + 1
        pair = self._summed_pair(inner, place) if inner is term and isinstance(inner, Product) else None
        if pair:
            return pair
        spelled = self._seeded(term, speller.spell(inner))
        if not spelled.moving:
            count = self.places.B if place == LAST_STEP else f"{self.places.T} * {self.places.B}"
            return self._constant(term, self._seeded(term, speller.spell(term)), count)
        if sums == spelled.rank:
            return f"{spelled.inside(ATOM)}.sum()"
        if sums:
            over = ", ".join(["0" if place == LAST_STEP else "0, 1", *(str(axis) for axis in range(-sums, 0))])
            return f"{spelled.inside(ATOM)}.sum(({over}))"
        return f"{spelled.inside(ATOM)}.sum({over})"

    def _summed_pair(self, term: Product, place: str) -> str | None:
        """The sum of products of two arrays in one call, where there is one."""
        return None

    def _sum_of_outer(self, left: str, right: str, rank: int = 1) -> str:
        helper = "sum_of_outer" if rank == 1 else "sum_of_outer_per_head"
        self.places.helpers.add(helper)
        return f"_{helper}({left}, {right})"

    def _reduced(self, reduction: Reduce) -> Line:
        """An entry of the dictionary of gradients."""
        stored, numbers = reduction.stored, reduction.numbers
        text = self._stacked_gradient(reduction)
        if text is None:
            pieces = self._summed_pieces(reduction.terms)
            numbers = tuple(sorted({*numbers, *(number for piece in pieces for number in piece.numbers)}))
            text = self._whole(" + ".join(piece.text for piece in pieces), stored) if pieces else self._none(stored)
        shown = numbered(numbers)
        if len(numbers) > 2 and numbers == tuple(range(numbers[0], numbers[0] + len(numbers))):
            shown = f"({numbers[0]}) to ({numbers[-1]})"
        readers = f" from {', '.join(reduction.readers)}" if reduction.readers else ""
        gradients = [self.places.schedule.derivation.adjoints[member.name] for member in stored.members]
        about: list[About] = [f"d_{gradient.value}" for gradient in gradients]
        about += [fork.key for gradient in gradients for fork in gradient.forks]
        return Line(f'"{stored.name}": {text},', f"{shown}{readers}", tuple(about))

    def _whole(self, text: str, stored: StoredParameter) -> str:
        """The sum, as an array."""
        return text

    def _stacked_gradient(self, reduction: Reduce) -> str | None:
        """The gradient of parameters that are stored under each other: one product, or one sum."""
        stack, block = reduction.stack, reduction.block
        if stack is None or block is None:
            return None
        place = LAST_STEP if block.phase == LAST else WHOLE
        part = self._side_by_side(block, stack.stages, place)
        if isinstance(stack, Stack):
            text = self._sum_of_outer(part, self.places.name_of(place)(stack.vector))
        else:
            text = f"{part}.sum({'0' if place == LAST_STEP else '(0, 1)'})"
        return self._at_last(text, reduction.stored.shape) if place == LAST_STEP else text


def moves(term: BackwardTerm, static: frozenset[str]) -> bool:
    """Whether what a term sends back is not the same at all steps and examples."""
    if not isinstance(term, Share):
        return True
    leaves = (node for node in walk(term.contribution.at_reader) if isinstance(node, (Value, Adjoint, Outside)))
    return any(leaf.name not in static for leaf in leaves)


def reader_of(fork: Contribution) -> str:
    """Where a contribution comes from, for a comment."""
    return f"{OUTSIDE}, through the output" if fork.kind == OUTPUT else fork.reader


def times_loss(name: str, term: Expression, spelled: Spelled) -> Spelled:
    """A contribution of the loss times the gradient at the loss, for which the derivation has 1; others as they are.

    All gradients begin at an output, at the final state or at the loss: a term without an adjoint comes from the loss.
    """
    if any(isinstance(node, (Adjoint, Outside)) for node in walk(term)):
        return spelled
    return Spelled(f"{name} * {spelled.inside(PRODUCT)}", PRODUCT, spelled.rank, spelled.moving)


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
