"""The records of a program: a schedule for a language that has no arrays, such as C.

A schedule speaks of whole arrays. A program speaks of entries. Each of its statements is one of four:

    Entries    every entry of a value from the same entry of others: `z = tanh(z_pre)`
    Operate    one operation along an axis: a softmax, a sum, an outer product of one example
    Multiply   rows times a matrix that stands still: what fast kernels exist for
    AddOuter   the gradient of such a matrix: one outer product for each row, added up

What it reads and writes are `Spot`s. In expressions, a `Value` is called by the key of its spot in
`Program.spots`; no other leaf occurs but numbers and sizes. Entries of one shape that need nothing from each other
but the same entry lie in one `Loop`; loops and operations between two products lie in one `Rows`, which goes over
the examples once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..language.expressions import Expression
from ..language.shapes import Dim, Shape
from .records import Schedule

# Directions and phases, beside those of `plan.py`.
FORWARD, BACKWARD = "forward", "backward"
SUMS = "sums"  # outer products of all steps and examples
SENT_BY_LAST = "sent by last"  # what only the last step sends to the one before
AT_START = "at start"  # what a learned start gets

# How long something has to be there, and so where it lies.
LOCAL = "local"  # one entry
ROW = "row"  # one example
STEP = "step"  # the examples of one step
CHUNK = "chunk"  # the examples of some steps
TAPE = "tape"  # those of all steps
STATE = "state"  # the same, and of the start before them
FINAL = "final"  # the examples of the last step
CARRY = "carry"  # the examples of one step, from one step to the next
STILL_ARRAY = "still"  # no example: the same for all
SUM = "sum"  # added up over steps and examples
PARAMETER_ARRAY = "parameter"  # the caller's


@dataclass(frozen=True)
class Spot:
    """Where something lies: from entry `low` on in a row of an array, `lag` steps from the current one."""

    array: str
    shape: Shape
    low: Dim = Dim()
    lag: int = 0


@dataclass(frozen=True)
class Term:
    """One of the terms that are added up, and where it comes from."""

    expression: Expression
    note: str = ""


@dataclass(frozen=True)
class Entries:
    """`to =` the sum of the terms, or `to +=` it, for each entry; no term: zero."""

    to: Spot
    terms: tuple[Term, ...]
    adds: bool = False
    number: int | None = None  # of the equation


@dataclass(frozen=True)
class Operate:
    """`to = function(arguments, numbers)`, of one example."""

    to: Spot
    function: str  # of the language's table, or MATVEC, MATVEC_TURNED or MATMUL
    arguments: tuple[Spot, ...]
    numbers: tuple[Expression, ...] = ()
    number: int | None = None


MATVEC, MATVEC_TURNED, MATMUL = "matvec", "matvec_turned", "matmul"


@dataclass(frozen=True)
class Multiply:
    """`to = A @ by`, or `transpose(A) @ by`, of every row; A is a still array, or a stored parameter."""

    to: Spot
    matrix: str
    turned: bool
    by: Spot
    adds: bool = False
    note: str = ""


@dataclass(frozen=True)
class AddOuter:
    """`matrix += left right^T` over all rows."""

    matrix: str
    left: Spot
    right: Spot


Statement = Entries | Operate | Multiply | AddOuter


@dataclass(frozen=True)
class Loop:
    """Entries of one shape, in one loop over them."""

    shape: Shape
    entries: tuple[Entries, ...]


@dataclass(frozen=True)
class Rows:
    """Work on one example after the other."""

    groups: tuple[Loop | Operate, ...]


Item = Rows | Multiply | AddOuter


@dataclass(frozen=True)
class Array:
    """`shape` is of one example, or of the whole where no example has one of its own."""

    name: str
    shape: Shape
    lifetime: str  # LOCAL, ROW, ...


@dataclass(frozen=True)
class Program:
    """What is done in each phase of each direction, on which arrays."""

    schedule: Schedule
    spots: Mapping[str, Spot]  # by the key that expressions call them
    items: Mapping[tuple[str, str], tuple[Item, ...]]  # by direction and phase
    arrays: Mapping[str, Array]
    matrices: tuple[str, ...]  # that a product reads: stored parameters and still stages
    outer: tuple[str, ...]  # matrices whose gradients are added up as outer products
    summed: tuple[str, ...]  # parameters and still stages whose gradients are added up entry by entry
