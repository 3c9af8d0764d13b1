"""What a layout file says: how somebody's code is called, and which of its arrays is which of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .blocks import Block

ROWS, COLUMNS, FLAT = "rows", "columns", "flat"  # (..., n), (n, 1), (n,)
SECOND, FIRST, ONE = "second", "first", "one"  # (T, B, n), (B, T, n), one example at a time
ALL, EACH = "all", "each"  # one call for all steps, or one for each
LAST = "last"  # of the axis of time; else it is FIRST

VECTORS, BATCHES, STEPS, TIMES = (ROWS, COLUMNS, FLAT), (SECOND, FIRST, ONE), (ALL, EACH), (FIRST, LAST)

# What a name of theirs may stand for. `[t-1]` is the step before; of all steps together, the initial state.
PARAMETERS = "params"  # a dictionary of all their parameters; with names, a list of these
PARAMETER = "parameter"  # one of their arrays
VALUE = "value"  # x, h: at every step, or of one
TOKENS = "tokens"  # tokens(x): the place of the one in a one-hot x
ONE_HOT = "one_hot"  # one_hot(x): the same as an array, with a one and zeros
BEFORE = "before"  # h[t-1]
ADJOINT = "adjoint"  # d_h: all that arrives at h; in code for all steps, what arrives from outside
OUTSIDE = "outside"  # dy_h, dy: the gradient from outside, at every step
LAST_OUTSIDE = "last"  # dy[T], dy_h[T]: the gradient from outside at the last step, where none arrives at the others
FINAL = "final"  # dstate.h: the gradient of the final state; in code for one step, what the next step sent back
SENT = "sent"  # d_h[t-1]: what is sent back to the step before; of all steps together, the initial state's gradient
STATES = "states"  # a dictionary of all initial states, by our names; FINALS: of the gradients of the final ones
FINALS = "dstates"
SIZE = "size"  # D, H, T, B
GIVEN = "given"  # what the forward function gave
NUMBER = "number"
PLAIN = "plain"  # a name that nothing is known of


@dataclass(frozen=True)
class Ref:
    """What a name of theirs stands for."""

    kind: str  # one of the above
    name: str = ""  # of ours; of a parameter and of what forward gave: theirs

    def __str__(self) -> str:
        match self.kind:
            case "params" | "states" | "dstates":
                return self.kind
            case "tokens" | "one_hot":
                return f"{self.kind}({self.name})"
            case "before":
                return f"{self.name}[t-1]"
            case "adjoint":
                return f"d_{self.name}"
            case "outside":
                return f"dy_{self.name}"
            case "last":
                return f"dy_{self.name}[T]"
            case "final":
                return f"dstate.{self.name}"
            case "sent":
                return f"d_{self.name}[t-1]"
        return self.name


@dataclass(frozen=True)
class Argument:
    """One argument of a call: a name or a number, with a keyword or without."""

    text: str
    keyword: str = ""

    def __str__(self) -> str:
        return f"{self.keyword}={self.text}" if self.keyword else self.text


@dataclass(frozen=True)
class Call:
    """What is called: `lstm_backward(params, caches, dhs)`, `Net.forward(x)`, `Net(D, H).forward(x)`."""

    path: tuple[str, ...]  # ("Net", "forward")
    arguments: tuple[Argument, ...] | None = None  # None: those of its signature
    make: tuple[Argument, ...] | None = None  # those of the class, where there is one

    @property
    def name(self) -> str:
        return ".".join(self.path)

    def __str__(self) -> str:
        arguments = f"({', '.join(map(str, self.arguments))})" if self.arguments is not None else ""
        if len(self.path) > 1 and self.make:
            return f"{self.path[0]}({', '.join(map(str, self.make))}).{'.'.join(self.path[1:])}{arguments}"
        return f"{self.name}{arguments}"


@dataclass(frozen=True)
class Layout:
    """A layout file, or a part of one: what is None is guessed."""

    spec: str | None = None  # a path, or the name of a packaged spec
    forward: Call | None = None
    gives: tuple[str, ...] | None = None  # the names of what forward returns
    backward: Call | None = None
    vectors: str | None = None
    batch: str | None = None
    time: str | None = None  # where the axis of time is: first of all but the batch, or last
    steps: str | None = None
    parameters: tuple[tuple[str, Block], ...] | None = None  # (their array, of which of ours)
    names: tuple[tuple[str, Ref], ...] = ()  # (theirs, what it stands for)
    gradients: tuple[tuple[str, str], ...] | None = None  # (their name in the answer, the parameter or value)
    answer: tuple[str, ...] | None = None  # of a tuple: what each part is the gradient of; "" for something else

    def with_(self, **changed: object) -> Layout:
        """The same with other fields."""
        return replace(self, **changed)  # type: ignore[arg-type]  # mypy does not know the fields of ** here

    @property
    def blocks(self) -> Mapping[str, Block]:
        return dict(self.parameters or ())
