"""A letter with accents and scripts -> its name, its step, its power, and whether it is transposed."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from .faults import NotRead
from .tree import Accent, Fenced, Fraction, Grid, Group, Letter, Mark, Node, Root, Row, Scripted, flat

LAG, NUMBER, END, NEXT, PREV = "lag", "number", "end", "next", "prev"
_TRANSPOSED = ("\u22a4", "tr", "\u22a4r")
_PREVIOUS, _FOLLOWING = ("prev", "previous", "old", "last"), ("next",)


@dataclass(frozen=True)
class Step:
    """`t-1` is a lag, `3` a number, `T-1` counts from the end, `next` is what a text means by it."""

    kind: str
    offset: int = 0


@dataclass(frozen=True)
class Symbol:
    base: str
    at: int
    accents: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()  # scripts that are no step
    step: Step | None = None
    power: Row = ()
    transposed: bool = False
    may_be_transposed: bool = False  # a T above: a transpose, or the last step
    primes: int = 0
    bold: bool = False

    @property
    def key(self) -> str:
        return key(self.base, self.accents, self.marks)

    def told(self) -> str:
        """As a short text for messages."""
        text = self.base
        for accent in self.accents:
            text = f"{accent}({text})"
        return text + "".join(f"_{mark}" for mark in self.marks) + "'" * self.primes


def key(base: str, accents: tuple[str, ...], marks: tuple[str, ...]) -> str:
    """What two spellings of one name have in common."""
    return f"{'.'.join(accents)}:{base}:{''.join(marks)}"


def read_symbol(node: Node, clock: str) -> Symbol | None:
    """The symbol that a node is; None where it is something else. `clock` is the letter of the steps."""
    match node:
        case Letter(text=text, at=at, bold=bold) if text:
            return Symbol(text, at, bold=bold)
        case Group(items=(single,)):
            return read_symbol(single, clock)
        case Accent(kind=kind, body=body):
            inner = read_symbol(body, clock)
            if inner is None:
                return None
            accents = inner.accents if kind == "ring" else (*inner.accents, kind)
            return replace(inner, accents=accents)
        case Scripted(base=base, sub=sub, sup=sup, primes=primes):
            inner = read_symbol(base, clock)
            if inner is None:
                return None
            found = replace(inner, primes=inner.primes + primes)
            for part in _parts(sub):
                found = _with_script(found, part, False, clock)
            for part in _parts(sup):
                found = _with_script(found, part, True, clock)
            return found
    return None


def _parts(row: Row) -> list[Row]:
    found: list[list[Node]] = [[]]
    for node in row:
        if isinstance(node, Mark) and node.text in (",", ";", "quad", "space", "|"):
            found.append([])
        else:
            found[-1].append(node)
    return [tuple(part) for part in found if part]


def _with_script(symbol: Symbol, part: Row, raised: bool, clock: str) -> Symbol:
    said = flat(part)
    if said in ("<>", "()", "[]"):
        raise NotRead(part[0].at, f"the step of '{symbol.told()}' is missing")
    step = read_step(said, clock, raised)
    if step is not None:
        return replace(symbol, step=step)
    if raised:
        if said in _TRANSPOSED:
            return replace(symbol, transposed=True)
        if said == "T":
            return replace(symbol, may_be_transposed=True)
        timed = re.match(r"(.*?)(\u22a4|T)\Z", said)
        both = read_step(timed[1], clock, raised) if timed else None
        if both is not None:
            return replace(symbol, step=both, transposed=True)
        if re.fullmatch(r"-\d+", said):
            raise NotRead(part[0].at, f"the inverse of '{symbol.told()}': the language of claims has none")
        if re.fullmatch(r"\d+", said):
            return replace(symbol, power=part)
        if said == "*" or said == "'":
            return replace(symbol, marks=(*symbol.marks, said))
    if len(part) == 1 and isinstance(part[0], Scripted):  # a script with a step of its own: c_{x_t}
        inner = read_symbol(part[0], clock)
        if inner is not None and inner.step is not None and symbol.step is None:
            return replace(symbol, marks=(*symbol.marks, inner.base + "".join(inner.marks)), step=inner.step)
    return replace(symbol, marks=(*symbol.marks, _plain(said)))


def _plain(said: str) -> str:
    bare = re.fullmatch(r"[(<\[]([^()<>\[\]]*)[)>\]]", said)
    return (bare[1] if bare else said).replace("_", "").replace(" ", "")


def read_step(said: str, clock: str, raised: bool) -> Step | None:
    """The step that a script is; None where it is none."""
    bare = re.fullmatch(r"[(<\[]([^()<>\[\]]*)[)>\]]", said)
    text = bare[1] if bare else said
    if text in _PREVIOUS:
        return Step(PREV, -1)
    if text in _FOLLOWING:
        return Step(NEXT)
    match = re.fullmatch(rf"({re.escape(clock)}|T)(?:([+-])(\d{{1,3}}))?", text)
    if match:
        offset = int(match[3] or 0) * (-1 if match[2] == "-" else 1)
        if match[1] == clock:
            return Step(LAG, offset)
        return Step(END, offset) if bare or offset or not raised else None
    counted = re.fullmatch(r"(\d{1,3})(?:([+-])(\d{1,3}))?", text) if bare else None
    if counted:
        return Step(NUMBER, int(counted[1]) + int(counted[3] or 0) * (-1 if counted[2] == "-" else 1))
    return None


def split_step(symbol: Symbol, clock: str) -> Symbol | None:
    """The symbol with a step that its last script ends in, as in \\delta_{ft}; None where there is none."""
    if symbol.step is not None or not symbol.marks:
        return None
    last = symbol.marks[-1]
    if last.isdigit() and len(last) <= 3:
        return replace(symbol, marks=symbol.marks[:-1], step=Step(NUMBER, int(last)))
    match = re.fullmatch(rf"(.+?)({re.escape(clock)}(?:[+-]\d{{1,3}})?)", last)
    step = read_step(match[2], clock, False) if match else None
    return replace(symbol, marks=(*symbol.marks[:-1], match[1]), step=step) if match and step else None


def clock_of(rows: list[Row]) -> str:
    """The letter of the steps: the one that stands in scripts with +1 and -1. It is t where nothing says otherwise."""
    counts: dict[str, int] = {}

    for node in nodes(rows):
        if isinstance(node, Scripted):
            for part in (*_parts(node.sub), *_parts(node.sup)):
                match = re.fullmatch(r"[(<\[]?([a-z]+)([+-]1)?[)>\]]?", flat(part))
                if match and match[1] in ("t", "k", "n", "tau", "s"):
                    counts[match[1]] = counts.get(match[1], 0) + (3 if match[2] else match[1] == "t")
    best = max(counts, key=lambda letter: (counts[letter], letter == "t"), default="t")
    return best if counts.get(best, 0) > counts.get("t", 0) else "t"


# ---------------------------------------------------------------- a whole text


@dataclass(frozen=True)
class Habits:
    """How a text writes steps."""

    clock: str  # the letter of the steps
    timed: bool  # whether symbols have steps
    raised: bool  # whether they stand above


def habits(rows: list[Row]) -> Habits:
    """What the symbols of a text have in common."""
    clock = clock_of(rows)
    above = below = 0
    for node in nodes(rows):
        if isinstance(node, Scripted):
            above += sum(read_step(flat(part), clock, True) is not None for part in _parts(node.sup))
            below += sum(read_step(flat(part), clock, False) is not None for part in _parts(node.sub))
    return Habits(clock, above + below > 0, above > below)


def symbols_of(rows: list[Row], clock: str) -> list[Symbol]:
    """Every symbol of a text that can be read, each once. What marks another letter, as the f of W_f, is none."""
    found: dict[Symbol, None] = {}
    for node in nodes(rows, marks=False):
        try:
            symbol = read_symbol(node, clock)
        except NotRead:
            continue
        if symbol is not None:
            found[replace(symbol, at=0, power=(), transposed=False, may_be_transposed=False)] = None
    return list(found)


def nodes(rows: list[Row], marks: bool = True) -> list[Node]:
    """Every node, parents before children. Without `marks`, scripts are left out but for those that name a value."""
    found: list[Node] = []
    ahead: list[Node] = [node for row in reversed(rows) for node in reversed(row)]
    while ahead:
        node = ahead.pop()
        found.append(node)
        match node:
            case Scripted(base=base, sub=sub, sup=sup):
                naming = isinstance(base, (Letter, Mark)) and base.text in ("delta", "nabla", "partial", "d", "Delta")
                if marks or naming:
                    ahead += [*sup[::-1], *sub[::-1]]
                if marks or not isinstance(base, Letter):
                    ahead.append(base)
            case Accent(body=body):
                ahead += [body] if marks else []
            case Group(items=items) | Fenced(items=items):
                ahead += items[::-1]
            case Fraction(top=top, bottom=bottom):
                ahead += [*bottom[::-1], *top[::-1]]
            case Root(body=row):
                ahead += row[::-1]
            case Grid(rows=cells):
                ahead += [each for line in cells[::-1] for cell in line[::-1] for each in cell[::-1]]
    return found
