"""The table of functions. A function of the language is one entry here.

Three kinds:

* `Pointwise` acts entry by entry. Its derivative is written in its own value `y` where that is
  shorter (`1 - y ** 2`), else in its arguments.
* `Macro` stands for an expression in other functions and is derived through them.
* `Operation` acts along axes. It has a shape rule and, for each argument, an adjoint: what the
  gradient `d` at its result sends back.

Derivatives and adjoints are texts in the language itself, parsed like any equation. `meaning` is for
the proofs alone (`evaluate.py`): the definition on arrays of one example, or of many with the
examples' axis in front, in whatever arithmetic they hold. Names that begin with a capital are
internal: they occur in derivatives and cannot be written in a spec.

How a function is spelled is for each output to say, in a table of its own: `outputs/numpy/functions.py`,
`document/latex/functions.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # NumPy takes a tenth of a second to import
    import numpy as np

Real = Any  # a float, or a number of many digits: mpmath has no types


class Arithmetic(Protocol):
    """What values are computed with. `evaluate.py` has one of floats, and one of numbers of many digits."""

    numpy: ModuleType
    exp: Callable[[np.ndarray], np.ndarray]
    log: Callable[[np.ndarray], np.ndarray]
    tanh: Callable[[np.ndarray], np.ndarray]
    sin: Callable[[np.ndarray], np.ndarray]
    cos: Callable[[np.ndarray], np.ndarray]
    sqrt: Callable[[np.ndarray], np.ndarray]
    divide: Callable[[np.ndarray, np.ndarray], np.ndarray]
    power: Callable[[np.ndarray, np.ndarray | int], np.ndarray]

    def floor(self, array: np.ndarray) -> np.ndarray: ...

    def erf(self, array: np.ndarray) -> np.ndarray: ...

    def number(self, value: Real) -> Real: ...

    def array(self, value: object) -> np.ndarray: ...

    def select(
        self, relation: str, left: np.ndarray, right: np.ndarray, chosen: np.ndarray, other: np.ndarray
    ) -> np.ndarray: ...

    def hold(self, array: np.ndarray) -> np.ndarray: ...

    def passed(self, array: np.ndarray, bound: Real) -> np.ndarray: ...

    def clipped(self, gradient: np.ndarray, bound: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Kink:
    """What is taken for a derivative where there is none."""

    value: str  # a number, or a part of the gradient in a word
    place: str  # "at 0", say, or EVERYWHERE

    def __str__(self) -> str:
        return f"{self.value} {self.place}"


EVERYWHERE = "everywhere"  # of a function that is constant between its jumps
AT_A_TIE = "at a tie"  # of a function of two arguments: where they are equal


@dataclass(frozen=True)
class Pointwise:
    """A function of each entry, with its derivatives."""

    name: str
    arguments: tuple[str, ...]
    derivatives: tuple[str, ...]  # one for each argument, in a, b, c and the own value y
    meaning: Callable[..., np.ndarray]  # of an arithmetic, and an array for each argument
    kink: Kink | None = None


@dataclass(frozen=True)
class Macro:
    """A function that stands for an expression: it is replaced by its body before anything is derived."""

    name: str
    arguments: tuple[str, ...]
    body: str


@dataclass(frozen=True)
class Operation:
    """A function of whole arrays, with what it sends back to each of them."""

    name: str
    arguments: tuple[str, ...]  # "..." last: any number
    shape: str  # the rule in shapes.py that gives the result's shape
    adjoints: tuple[str, ...]  # one for each array argument, in its arguments, own value y, gradient d
    meaning: Callable[..., np.ndarray]  # of an arithmetic, arrays, and exact numbers for the literals
    literals: int = 0  # how many of the last arguments are literal numbers, or sizes
    optional: tuple[str, ...] = ()  # defaults of last literals that may be left out


_A, _AB = ("a",), ("a", "b")
_TWO_OVER_ROOT_PI = "1.1283791670955125738961589031215451716881012586579977136881714434212849368829868289734873204042147269"

POINTWISE = (
    Pointwise("sigmoid", _A, ("y * (1 - y)",), lambda m, a: 1 / (1 + m.exp(-a))),
    Pointwise("tanh", _A, ("1 - y ** 2",), lambda m, a: m.tanh(a)),
    Pointwise("relu", _A, ("where(a > 0, 1, 0)",), lambda m, a: m.select(">", a, 0 * a, a, 0 * a), Kink("0", "at 0")),
    Pointwise(
        "leaky_relu", _A, ("where(a > 0, 1, 0.01)",),
        lambda m, a: m.select(">", a, 0 * a, a, a * m.number("0.01")), Kink("0.01", "at 0"),
    ),
    Pointwise("elu", _A, ("where(a > 0, 1, y + 1)",), lambda m, a: m.select(">", a, 0 * a, a, m.exp(a) - 1)),
    Pointwise("softplus", _A, ("sigmoid(a)",), lambda m, a: m.log(1 + m.exp(a))),
    Pointwise("softsign", _A, ("(1 - abs(y)) ** 2",), lambda m, a: a / (1 + m.select("<", a, 0 * a, -a, a))),
    Pointwise("exp", _A, ("y",), lambda m, a: m.exp(a)),
    Pointwise("expm1", _A, ("y + 1",), lambda m, a: m.exp(a) - 1),
    Pointwise("log", _A, ("1 / a",), lambda m, a: m.log(a)),
    Pointwise("log1p", _A, ("1 / (1 + a)",), lambda m, a: m.log(1 + a)),
    Pointwise("erf", _A, ("Bell(a)",), lambda m, a: m.erf(a)),
    Pointwise("logsigmoid", _A, ("sigmoid(-a)",), lambda m, a: -m.log(1 + m.exp(-a))),
    Pointwise("sqrt", _A, ("0.5 / y",), lambda m, a: m.sqrt(a)),
    Pointwise("rsqrt", _A, ("-0.5 * y / a",), lambda m, a: 1 / m.sqrt(a)),
    Pointwise("abs", _A, ("sign(a)",), lambda m, a: m.select("<", a, 0 * a, -a, a), Kink("0", "at 0")),
    Pointwise("sin", _A, ("cos(a)",), lambda m, a: m.sin(a)),
    Pointwise("cos", _A, ("-sin(a)",), lambda m, a: m.cos(a)),
    Pointwise(
        "sign", _A, ("0",),
        lambda m, a: m.select(">", a, 0 * a, 0 * a + 1, m.select("<", a, 0 * a, 0 * a - 1, 0 * a)),
        Kink("0", EVERYWHERE),
    ),
    Pointwise("floor", _A, ("0",), lambda m, a: m.floor(a), Kink("0", EVERYWHERE)),
    Pointwise(
        "max", _AB, ("where(a > b, 1, where(a < b, 0, 0.5))", "where(b > a, 1, where(b < a, 0, 0.5))"),
        lambda m, a, b: m.select(">", a, b, a, b), Kink("half", AT_A_TIE),
    ),
    Pointwise(
        "min", _AB, ("where(a < b, 1, where(a > b, 0, 0.5))", "where(b < a, 1, where(b > a, 0, 0.5))"),
        lambda m, a, b: m.select("<", a, b, a, b), Kink("half", AT_A_TIE),
    ),
    Pointwise(
        "clip", ("a", "b", "c"),
        ("where(a < b, 0, where(a > c, 0, 1))", "where(a < b, 1, 0)", "where(a < b, 0, where(a > c, 1, 0))"),
        lambda m, a, b, c: m.select("<", a, b, b + 0 * a, m.select(">", a, c, c + 0 * a, a)),
        Kink("1", "at its bounds"),
    ),
    # The value b at a, and c as its derivative: c takes the place of what the derivative of b would be.
    Pointwise("surrogate", ("a", "b", "c"), ("c", "0", "0"),
              lambda m, a, b, c: m.hold(b) + m.hold(c) * (a - m.hold(a))),
    # internal: what clip_gradient sends back. The proofs put a multiplication in its place, and so does what counts paths.
    Pointwise("Clip", _AB, ("where(a < -b, 0, where(a > b, 0, 1))", "where(a < -b, -1, where(a > b, 1, 0))"),
              lambda m, a, b: m.clipped(a, b), Kink("1", "at its bounds")),
    # internal: the derivative of erf
    Pointwise("Bell", _A, ("-2 * a * y",), lambda m, a: m.number(_TWO_OVER_ROOT_PI) * m.exp(-a * a)),
)

MACROS = (
    Macro("identity", _A, "a"),
    Macro("square", _A, "a ** 2"),
    Macro("silu", _A, "a * sigmoid(a)"),
    Macro("gelu", _A, "0.5 * a * (1 + tanh(0.7978845608028654 * (a + 0.044715 * a ** 3)))"),
    Macro("hard_sigmoid", _A, "clip(0.2 * a + 0.5, 0, 1)"),
    Macro("hard_tanh", _A, "clip(a, -1, 1)"),
    Macro("mod", _AB, "a - b * floor(a / b)"),
)

# In adjoints: d is the gradient at the result, y the result, n the length of a's last axis, m that of the one before.
OPERATIONS = (
    Operation("sum", _A, "reduce", ("fill(d, n)",), lambda m, a: a.sum(-1)),
    Operation("mean", _A, "reduce", ("fill(d / n, n)",), lambda m, a: a.sum(-1) / a.shape[-1]),
    Operation("logsumexp", _A, "reduce", ("exp(a - fill(y, n)) * fill(d, n)",), lambda m, a: m.log(m.exp(a).sum(-1))),
    Operation("softmax", _A, "same", ("y * (d - fill(dot(y, d), n))",),
              lambda m, a: m.exp(a) / m.exp(a).sum(-1, keepdims=True)),
    Operation("cumsum", _A, "same", ("Reverse_cumsum(d)",), lambda m, a: a.cumsum(-1)),
    Operation("layer_norm", _AB, "same",
              ("fill(Inverse_std(a, b), n) * (d - fill(mean(d), n) - y * fill(mean(d * y), n))",),
              lambda m, a, b="1e-5": _standardised(m, a, b), literals=1, optional=("1e-5",)),
    Operation("rms_norm", _AB, "same", ("fill(Inverse_rms(a, b), n) * (d - y * fill(mean(d * y), n))",),
              lambda m, a, b="1e-6": a * _inverse_root(m, (a * a).sum(-1, keepdims=True) / a.shape[-1], b),
              literals=1, optional=("1e-6",)),
    Operation("l2_norm", _AB, "same", ("fill(Inverse_norm(a, b), n) * (d - y * fill(dot(d, y), n))",),
              lambda m, a, b="1e-6": a * _inverse_root(m, (a * a).sum(-1, keepdims=True), b),
              literals=1, optional=("1e-6",)),
    Operation("dot", _AB, "dot", ("fill(d, n) * b", "fill(d, n) * a"), lambda m, a, b: (a * b).sum(-1)),
    Operation("outer", _AB, "outer", ("d @ b", "transpose(d) @ a"), lambda m, a, b: a[..., :, None] * b[..., None, :]),
    Operation("transpose", _A, "transpose", ("transpose(d)",), lambda m, a: m.numpy.swapaxes(a, -1, -2)),
    Operation("fill", _AB, "fill", ("sum(d)",), lambda m, a, n: m.numpy.repeat(m.array(a)[..., None], int(n), -1),
              literals=1),
    Operation("heads", _AB, "heads", ("flat(d)",), lambda m, a, n: a.reshape(*a.shape[:-1], int(n), -1), literals=1),
    Operation("flat", _A, "flat", ("heads(d, m)",), lambda m, a: a.reshape(*a.shape[:-2], -1)),
    Operation("repeat", _AB, "repeat", ("Fold(d, b)",), lambda m, a, b: m.numpy.repeat(a, int(b), -1), literals=1),
    Operation("concat", ("a", "b", "..."), "concat", (), lambda m, *parts: m.numpy.concatenate(parts, -1)),
    Operation("part", ("a", "b", "c"), "part", ("Place(d, b, c)",),
              lambda m, a, b, c: m.numpy.split(a, int(c), -1)[int(b)], literals=2),
    # makers: arrays that are the same in every cell. Their arguments are sizes, and nothing goes back.
    Operation("ones", _AB, "ones", (), lambda m, *sizes: m.array(m.numpy.ones(tuple(map(int, sizes)))),
              literals=2, optional=("",)),
    Operation("eye", _A, "square", (), lambda m, n: m.array(m.numpy.eye(int(n))), literals=1),
    Operation("triangle", _A, "square", (), lambda m, n: m.array(m.numpy.tri(int(n))), literals=1),
    Operation("stop_gradient", _A, "same", (), lambda m, a: m.hold(a)),
    Operation("clip_gradient", _AB, "same", ("Clip(d, b)",), lambda m, a, b: m.passed(a, m.number(b)), literals=1),
    # internal: the entries of a constant of the spec, row by row; a is the number of rows, or 0 for a vector
    Operation("Array", ("a", "..."), "array", (),
              lambda m, rows, *entries: _array(m, int(rows), entries), literals=1),
    # internal: what the adjoints above need
    Operation("Reverse_cumsum", _A, "same", (), lambda m, a: a[..., ::-1].cumsum(-1)[..., ::-1]),
    Operation("Inverse_std", _AB, "reduce", (), lambda m, a, eps: 1 / m.sqrt(_variance(a)[..., 0] + m.number(eps)),
              literals=1),
    Operation("Inverse_rms", _AB, "reduce", (), lambda m, a, eps: _inverse_root(m, (a * a).sum(-1) / a.shape[-1], eps),
              literals=1),
    Operation("Inverse_norm", _AB, "reduce", (), lambda m, a, eps: _inverse_root(m, (a * a).sum(-1), eps), literals=1),
    Operation("Fold", _AB, "fold", (), lambda m, a, n: a.reshape(a.shape[:-1] + (-1, int(n))).sum(-1), literals=1),
    Operation("Place", ("a", "b", "c"), "place", (),
              lambda m, a, k, n: m.numpy.concatenate([a if j == int(k) else 0 * a for j in range(int(n))], -1),
              literals=2),
    Operation("Slice", ("a", "b", "c"), "slice", (), lambda m, a, low, high: a[..., int(low) : int(high)], literals=2),
)


def _array(math: Arithmetic, rows: int, entries: tuple[Fraction, ...]) -> np.ndarray:
    array = math.array([math.number(entry) for entry in entries])
    return array.reshape(rows, -1) if rows else array


def _centred(a: np.ndarray) -> np.ndarray:
    centred: np.ndarray = a - a.sum(-1, keepdims=True) / a.shape[-1]
    return centred


def _variance(a: np.ndarray) -> np.ndarray:
    """Along the last axis, which stays with length 1."""
    variance: np.ndarray = (_centred(a) ** 2).sum(-1, keepdims=True) / a.shape[-1]
    return variance


def _standardised(math: Arithmetic, a: np.ndarray, eps: Fraction | str) -> np.ndarray:
    standardised: np.ndarray = _centred(a) / math.sqrt(_variance(a) + math.number(eps))
    return standardised


def _inverse_root(math: Arithmetic, a: np.ndarray, eps: Fraction | str) -> np.ndarray:
    inverse: np.ndarray = 1 / math.sqrt(a + math.number(eps))
    return inverse


def left_out(entry: Operation, given: int) -> dict[str, str]:
    """The optional literals that a call of so many arguments does without, and what stands for them."""
    if entry.name in MAKERS:
        return {}  # a vector of ones has one size
    needed = len(entry.arguments) - len(entry.optional)
    return dict(zip(entry.arguments[given:], entry.optional[given - needed:]))


MAKERS = frozenset({"ones", "eye", "triangle", "Array"})
"""Operations that read no array: what they make is static, and nothing goes back through it."""

def numbers_given(entry: Operation, given: int) -> int:
    """How many of the `given` arguments are exact numbers, and no arrays."""
    if entry.name in MAKERS:
        return given
    without = 0 if entry.arguments[-1] == "..." else len(entry.arguments) - given
    return max(entry.literals - without, 0)


@dataclass(frozen=True)
class Choice:
    """Pointwise, but its first argument is a comparison: `derivation/chain.py` differentiates it by a rule of its own."""

    name: str
    arguments: tuple[str, ...]  # the comparison, and the two branches
    derivatives: tuple[str, ...]  # one for each branch
    kink: Kink


CHOICE = Choice("where", ("a < b", "u", "v"), ("where(a < b, 1, 0)", "where(a < b, 0, 1)"),
                Kink("0", "through a < b"))
WHERE = CHOICE.name
TABLE: dict[str, Pointwise | Macro | Operation] = {
    entry.name: entry for entry in (*POINTWISE, *MACROS, *OPERATIONS)
}
PUBLIC = tuple(sorted([name for name in TABLE if name[0].islower()] + [WHERE]))
"""The names that a spec may call."""

SCALAR_FUNCTIONS = tuple(
    entry.name for entry in (*POINTWISE, *MACROS) if len(entry.arguments) == 1
)
"""Functions of one argument that act entry by entry: what `activations:` may name."""


def signature(entry: Pointwise | Macro | Operation | Choice) -> str:
    """How a function is called: `clip(a, b, c)`."""
    return f"{entry.name}({', '.join(entry.arguments)})"


def arity(name: str) -> tuple[int, int | None]:
    """Fewest and most arguments of a function; None where there is no most."""
    if name == WHERE:
        return 3, 3
    entry = TABLE[name]
    count = len(entry.arguments)
    if entry.arguments[-1] == "...":
        return 1, None
    fewest = count - len(entry.optional) if isinstance(entry, Operation) else count
    return fewest, count
