"""A cell as its spec states it: names, shapes and equations as text, each with its place in the file.

These records know no mathematics and no YAML. `reader.py` makes them from a file, `switches.py`
from the switches of an LSTM, GRU or RNN; `derivation/reading.py` reads the equations.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from ..errors import Place, Text
from ..printed import Brief, counted

MINUS_INFINITY = "-inf"  # how a spec writes it
NO_FILE = "<text>"  # the path of a spec that was given as a text


@dataclass(frozen=True)
class Dimension:
    """A symbol such as H and the keyword that sets it in the module, such as hidden_size."""

    symbol: str
    keyword: str
    place: Place


@dataclass(frozen=True)
class Declaration:
    """An input, a state or a target with its shape: one text per axis, none for a scalar."""

    name: str
    shape: tuple[Text, ...]
    place: Place


@dataclass(frozen=True)
class Parameter:
    """A learned array. `init` is a number, the name of an initialisation, or None for the default."""

    name: str
    shape: tuple[Text, ...]
    place: Place
    init: Fraction | str | None = None


@dataclass(frozen=True)
class Constant:
    """A number with a name, of `constants`."""

    name: str
    value: Fraction
    place: Place


@dataclass(frozen=True, repr=False)
class Function(Brief):
    """A scalar function that the spec defines: `mish(a): a * tanh(log(1 + exp(a)))`."""

    name: str
    arguments: tuple[str, ...]
    body: Text
    place: Place


@dataclass(frozen=True)
class ArrayConstant:
    """A vector or a matrix with a name, which is not learned."""

    name: str
    entries: tuple[Fraction, ...]  # row by row
    rows: int  # 0 for a vector
    place: Place


@dataclass(frozen=True, repr=False)
class Equation(Brief):
    """One line of `equations`, its right side still a text."""

    name: str
    body: Text
    place: Place


@dataclass(frozen=True)
class Initial:
    """What a state starts from if no state is given: a number, or the name of a parameter."""

    state: str
    start: Fraction | float | str  # a float only where it is minus infinity
    place: Place  # of the state's name
    start_place: Place


@dataclass(frozen=True)
class Named:
    """A name mentioned somewhere, such as an output."""

    name: str
    place: Place


@dataclass(frozen=True)
class Range:
    """Where the proofs draw a value from."""

    name: str
    low: Fraction
    high: Fraction
    place: Place


@dataclass(frozen=True)
class Variant:
    """Which LSTM, GRU or RNN the switches of a spec describe. Gates are called by their letters."""

    cell: str  # "lstm" | "gru" | "rnn"
    bias: bool
    activations: tuple[tuple[str, str], ...]  # pairs of what it activates ("gate", "input", ...) and a function
    reset_after: bool = False  # of a GRU; the rest is of an LSTM
    gates: tuple[str, ...] = ()  # those with parameters of their own
    coupled: bool = False  # f = 1 - i, without parameters
    peepholes: tuple[str, ...] = ()
    full_peepholes: bool = False
    gate_recurrence: bool = False
    projection: bool = False


@dataclass(frozen=True)
class CellSpec:
    """One recurrent cell, as written. Tuples are in the order of the file."""

    path: str  # as it was given on the command line; NO_FILE where there is no file
    source: str  # the whole text, for error messages and for the hash in the document
    name: str
    title: str
    description: str
    references: tuple[str, ...]
    group: str  # heading in `lstmgen list`; "" where the spec gives none
    notation: str | tuple[tuple[str, str], ...]  # a notation's name, or pairs of name and symbol
    dims: tuple[Dimension, ...]
    inputs: tuple[Declaration, ...]
    states: tuple[Declaration, ...]
    constants: tuple[Constant, ...]
    arrays: tuple[ArrayConstant, ...]
    functions: tuple[Function, ...]
    parameters: tuple[Parameter, ...]
    equations: tuple[Equation, ...]
    outputs: tuple[Named, ...]
    initial: tuple[Initial, ...]
    targets: tuple[Declaration, ...]
    loss: Text | None
    loss_at: str  # "every" | "last"
    ranges: tuple[Range, ...]
    variant: Variant | None = None  # of a spec of switches; None if it is one of equations

    @property
    def declared(self) -> tuple[Declaration | Parameter, ...]:
        """Everything that is declared with a shape."""
        return (*self.inputs, *self.states, *self.parameters, *self.targets)

    @property
    def from_switches(self) -> bool:
        """Whether it is a spec of switches."""
        return self.variant is not None

    def __repr__(self) -> str:
        return (f"<CellSpec {self.name}: {counted(len(self.equations), 'equation')}, "
                f"{counted(len(self.parameters), 'parameter')}>")
