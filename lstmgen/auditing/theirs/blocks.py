"""One array of theirs, made of our parameters: `[R_f, W_f]`, `transpose([W_i; W_f])`, `column(b_f)`.

    [A, B]          side by side: the last axis grows
    [A; B]          under each other
    transpose(A)    turned
    column(b)       a vector as a matrix with one column; row(b): with one row
    stack(A, B)     a new axis in front
    zeros(A)        zeros in the shape of A

A vector beside a matrix is a column, and a vector under a matrix is a row.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ...errors import Mistakes, Place, Text
from ...language.names import did_you_mean

_TOKEN = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*|[\[\](),;]|\S)")
_DEEPEST = 8


@dataclass(frozen=True)
class Ours:
    """One of our parameters."""

    name: str


@dataclass(frozen=True)
class Made:
    """A function of blocks: transpose, column, row, stack, zeros."""

    function: str
    parts: tuple[Block, ...]


@dataclass(frozen=True)
class Grid:
    """Blocks side by side, and rows of them under each other."""

    rows: tuple[tuple[Block, ...], ...]


Block = Ours | Made | Grid

FUNCTIONS = {"transpose": 1, "column": 1, "row": 1, "zeros": 1, "stack": None}  # how many arguments; None: any number


def spelled(block: Block) -> str:
    """The block as a layout file has it."""
    match block:
        case Ours(name=name):
            return name
        case Made(function=function, parts=parts):
            return f"{function}({', '.join(map(spelled, parts))})"
        case Grid(rows=rows):
            return f"[{'; '.join(', '.join(map(spelled, row)) for row in rows)}]"


def names_in(block: Block) -> Iterator[str]:
    """Our parameters in it, in their order, without those that are only there for a shape."""
    match block:
        case Ours(name=name):
            yield name
        case Made(function=function, parts=parts):
            if function != "zeros":
                for part in parts:
                    yield from names_in(part)
        case Grid(rows=rows):
            for row in rows:
                for part in row:
                    yield from names_in(part)


# ---------------------------------------------------------------- in numbers


def assemble(block: Block, arrays: Mapping[str, np.ndarray], blank: float = 0) -> np.ndarray:
    """Their array from ours. A `ValueError` says which parts do not fit."""
    match block:
        case Ours(name=name):
            return arrays[name]
        case Grid(rows=rows):
            lines = [_joined([assemble(part, arrays, blank) for part in row], 1, block) for row in rows]
            return _joined(lines, 0, block)
        case Made(function="stack", parts=parts):
            found = [assemble(part, arrays, blank) for part in parts]
            if len({each.shape for each in found}) > 1:
                raise _unfit(found, block)
            return np.stack(found)
        case Made(function=function, parts=(part,)):
            array = assemble(part, arrays, blank)
            match function:
                case "transpose":
                    return np.asarray(array.T)
                case "column":
                    return array.reshape(-1, 1)
                case "row":
                    return array.reshape(1, -1)
            return np.full_like(array, blank)
    raise AssertionError(block)


def _joined(parts: list[np.ndarray], axis: int, block: Block) -> np.ndarray:
    if len(parts) == 1:
        return parts[0]
    if all(part.ndim <= 1 for part in parts):
        return np.concatenate([np.atleast_1d(part) for part in parts])
    flat = [part.reshape((-1, 1) if axis else (1, -1)) if part.ndim <= 1 else part for part in parts]
    if any(part.ndim != 2 for part in flat) or len({part.shape[1 - axis] for part in flat}) > 1:
        raise _unfit(parts, block)
    return np.concatenate(flat, axis=axis)


def _unfit(parts: list[np.ndarray], block: Block) -> ValueError:
    shapes = " and ".join(str(part.shape) for part in parts)
    return ValueError(f"in {spelled(block)} the shapes {shapes} do not fit together")


def numbered(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Arrays of these shapes in which every entry has a number of its own, from 0 on."""
    found, first = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        found[name] = np.arange(first, first + size).reshape(shape)
        first += size
    return found


# ---------------------------------------------------------------- as text


def read_block(text: Text, ours: Collection[str], mistakes: Mistakes) -> Block | None:
    """The block that a text of a layout file says; None after a mistake, which is recorded."""
    try:
        return _Parser(text, ours, mistakes).read()
    except _Stop:
        return None


class _Stop(Exception):
    """A mistake was recorded; nothing after it can be read."""


class _Parser:
    def __init__(self, text: Text, ours: Collection[str], mistakes: Mistakes):
        self.text, self.ours, self.mistakes = text, ours, mistakes
        self.tokens = [(match[1], match.start(1)) for match in _TOKEN.finditer(text.value)]
        self.at = 0

    def read(self) -> Block:
        block = self._block(0)
        if self._next() is not None:
            raise self._wrong(f"'{self._next()}' follows what is complete", "put it into [ ]: 'Wf: \"[R_f, W_f]\"'")
        return block

    def _next(self) -> str | None:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else None

    def _place(self) -> Place:
        return self.text.at(self.tokens[self.at][1] if self.at < len(self.tokens) else len(self.text.value))

    def _wrong(self, message: str, cure: str | None) -> _Stop:
        self.mistakes.add(self._place(), message, cure)
        return _Stop()

    def _take(self, token: str) -> None:
        if self._next() != token:
            found = f"'{self._next()}'" if self._next() is not None else "the end"
            raise self._wrong(f"expected '{token}' and found {found}", "for example \"[R_f, W_f]\" or \"transpose(W_f)\"")
        self.at += 1

    def _block(self, depth: int) -> Block:
        token = self._next()
        if depth > _DEEPEST:
            raise self._wrong(f"blocks are nested more than {_DEEPEST} deep", None)
        if token == "[":
            return self._grid(depth)
        if token is None or not token.isidentifier():
            raise self._wrong("a parameter of the spec, [ ] or transpose( ) belongs here", "for example \"[R_f, W_f]\"")
        if self.at + 1 < len(self.tokens) and self.tokens[self.at + 1][0] == "(":
            return self._made(token, depth)
        if token not in self.ours:
            cure = did_you_mean(token, self.ours) or f"the spec has {', '.join(self.ours)}"
            raise self._wrong(f"the spec has no parameter '{token}'", cure)
        self.at += 1
        return Ours(token)

    def _made(self, function: str, depth: int) -> Block:
        if function not in FUNCTIONS:
            raise self._wrong(f"there is no '{function}' here", f"there are {', '.join(FUNCTIONS)}")
        start = self.at
        self.at += 2
        parts = [self._block(depth + 1)]
        while self._next() == ",":
            self.at += 1
            parts.append(self._block(depth + 1))
        self._take(")")
        if FUNCTIONS[function] is not None and len(parts) != FUNCTIONS[function]:
            self.at = start
            raise self._wrong(f"{function} takes one array", None)
        return Made(function, tuple(parts))

    def _grid(self, depth: int) -> Block:
        self._take("[")
        rows: list[tuple[Block, ...]] = []
        row = [self._block(depth + 1)]
        while self._next() in (",", ";"):
            if self._next() == ";":
                rows.append(tuple(row))
                row = []
            self.at += 1
            row.append(self._block(depth + 1))
        self._take("]")
        return Grid((*rows, tuple(row)))
