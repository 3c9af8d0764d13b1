"""Golden cases: inputs and float64 results that are made to catch wrong kernels, and the verdict on somebody's answers.

A case is a set of arrays, `CASE/NAME` in one .npz file: parameters and inputs by their names, `state.h`, `dy` (or `dy_NAME`),
`dstate.h`; then the results: outputs `y` (or `y_NAME`), final states `last.h`, gradients `d_NAME` (`d_h` of the initial h).
An answer holds results alone, under the same names. What is not in it is not compared.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import numpy as np

from ..derivation.chain import Derivation, derive
from ..derivation.graph import Graph
from ..language.expressions import Adjoint, Value
from ..language.names import did_you_mean
from ..numerics.points import choose_sizes
from ..printed import Printed, counted
from .foreign import ForeignError, real
from .foreign import loaded as load_arrays
from .given import Data, Given

LEAST_SIZE = 5
EXACT = 1e-9  # relative, of answers in double precision
ROUNDED = 6  # draws of rounded inputs
ALLOWED = 40  # times what the rounding of the inputs alone does to a result: a kernel rounds at every operation

Change = Callable[[Data], Data]


@dataclass(frozen=True)
class Golden:
    """One case."""

    name: str
    steps: int
    batch: int
    told: str  # what it is there for
    change: Change = lambda data: data


def _scaled(factor: float) -> Change:
    """Parameters further from 0, so that gates saturate, or nearer, so that states decay."""
    return lambda data: _with(data, params={name: factor * array for name, array in data.params.items()})


def _without(*groups: str) -> Change:
    def zeros(data: Data, group: str) -> dict[str, np.ndarray]:
        return {name: 0 * array for name, array in getattr(data, group).items()}

    return lambda data: _with(data, **{group: zeros(data, group) for group in groups})


def _quiet(data: Data) -> Data:
    """No gradient from outside at every other step and for the last example."""
    dy = {name: np.array(array) for name, array in data.dy.items()}
    for array in dy.values():
        array[::2], array[:, -1] = 0, 0
    return _with(data, dy=dy)


def _with(data: Data, **groups: Mapping[str, np.ndarray]) -> Data:
    own = {name: getattr(data, name) for name in ("params", "inputs", "state", "dy", "dstate")}
    return Data(**(own | groups))


# Over many steps, parameters as large as in the others would make the states chaotic: every rounding would be seen.
CASES = (
    Golden("usual", 7, 3, "states, gradients from outside and of the final states, none of them zero"),
    Golden("no_steps", 0, 2, "T = 0: the final state is the initial one, and so are their gradients"),
    Golden("one_step", 1, 3, "T = 1"),
    Golden("one_example", 5, 1, "B = 1"),
    Golden("long", 67, 2, "T = 67, no multiple of a block of steps", _scaled(0.5)),
    Golden("block", 64, 2, "T = 64, a multiple of 2, 4, 8, 16, 32 and 64", _scaled(0.5)),
    Golden("odd_batch", 3, 13, "B = 13, no multiple of a block of examples"),
    Golden("saturated", 6, 3, "large parameters: gates at their ends", _scaled(6.0)),
    Golden("decaying", 6, 3, "small parameters: gates in their middle, states that decay", _scaled(0.1)),
    Golden("final_alone", 5, 3, "no gradient from outside: that of the final states alone", _without("dy")),
    Golden("outside_alone", 5, 3, "no gradient of the final states", _without("dstate")),
    Golden("from_zero", 5, 3, "initial states of zero", _without("state")),
    Golden("quiet_parts", 6, 3, "no gradient from outside at every other step, and for one example", _quiet),
)


# ---------------------------------------------------------------- making them


def golden_cases(graph: Graph) -> dict[str, np.ndarray]:
    """All cases with their results, by `CASE/NAME`. The same spec gives the same numbers."""
    derivation, sizes = derive(graph), choose_sizes(graph, LEAST_SIZE)
    found: dict[str, np.ndarray] = {}
    for number, case in enumerate(CASES):
        data = _data(graph, sizes, case, number)
        arrays = _given(graph, data) | _results(derivation, sizes, data)
        found |= {f"{case.name}/{name}": array for name, array in arrays.items()}
    return found


def archive(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The bytes of an .npz file; the same for the same arrays, as `np.savez` writes the time into it."""
    stream = io.BytesIO()
    with ZipFile(stream, "w") as file:
        for name, array in arrays.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, np.ascontiguousarray(array), allow_pickle=False)
            file.writestr(ZipInfo(f"{name}.npy"), part.getvalue())
    return stream.getvalue()


def _data(graph: Graph, sizes: Mapping[str, int], case: Golden, seed: int) -> Data:
    random = np.random.default_rng([7, seed])
    ranges = {item.name: (float(item.low), float(item.high)) for item in graph.spec.ranges}

    def drawn(name: str, *lead: int) -> np.ndarray:
        return np.asarray(random.uniform(*ranges.get(name, (-1.0, 1.0)), (*lead, *_shape(graph, sizes, name))))

    def weights(name: str, *lead: int) -> np.ndarray:
        shape = (*lead, *_shape(graph, sizes, name))
        return np.asarray(random.uniform(0.5, 1.5, shape) * random.choice([-1.0, 1.0], shape))

    steps, batch = case.steps, case.batch
    return case.change(Data(
        {name: drawn(name) for name in graph.parameters},
        {name: drawn(name, steps, batch) for name in (*graph.inputs, *graph.targets)},
        {name: drawn(name, batch) for name in graph.states},
        {name: weights(name, steps, batch) for name in graph.outputs} if graph.loss is None else {},
        {name: weights(name, batch) for name in graph.states},
    ))


def _shape(graph: Graph, sizes: Mapping[str, int], name: str) -> tuple[int, ...]:
    return tuple(dim.value(sizes) for dim in graph.shapes[name])


def _given(graph: Graph, data: Data) -> dict[str, np.ndarray]:
    alone = len(graph.outputs) == 1
    return {
        **data.params, **data.inputs, **{f"state.{name}": array for name, array in data.state.items()},
        **{"dy" if alone else f"dy_{name}": array for name, array in data.dy.items()},
        **{f"dstate.{name}": array for name, array in data.dstate.items()},
    }


@np.errstate(all="ignore")
def _results(derivation: Derivation, sizes: Mapping[str, int], data: Data) -> dict[str, np.ndarray]:
    """Outputs, final states and gradients, in float64."""
    graph, alone = derivation.graph, len(derivation.graph.outputs) == 1
    if data.steps == 0:
        return _of_no_steps(graph, sizes, data)
    scene = Given(derivation, sizes, data)

    def over_time(leaf: Value | Adjoint) -> np.ndarray:
        return np.stack([scene.leaf(leaf, step) for step in range(1, data.steps + 1)])

    found = {"y" if alone else f"y_{name}": over_time(Value(name)) for name in graph.outputs}
    found |= {f"last.{name}": scene.leaf(Value(name), data.steps) for name in graph.states}
    found |= {f"d_{name}": np.asarray(scene.total(name).sum(axis=0)) for name in graph.parameters}
    found |= {f"d_{name}": over_time(Adjoint(name)) for name in graph.inputs}
    return found | {f"d_{name}": scene.leaf(Adjoint(name), 0) for name in graph.states}


def _of_no_steps(graph: Graph, sizes: Mapping[str, int], data: Data) -> dict[str, np.ndarray]:
    """Nothing is computed: states and their gradients stay what they are."""
    alone, batch = len(graph.outputs) == 1, len(next(iter(data.state.values())))
    found = {"y" if alone else f"y_{name}": np.zeros((0, batch, *_shape(graph, sizes, name))) for name in graph.outputs}
    found |= {f"last.{name}": array for name, array in data.state.items()}
    found |= {f"d_{name}": np.zeros(_shape(graph, sizes, name)) for name in graph.parameters}
    found |= {f"d_{name}": 0 * data.inputs[name] for name in graph.inputs}
    return found | {f"d_{name}": array for name, array in data.dstate.items()}


# ---------------------------------------------------------------- judging answers


@dataclass(frozen=True)
class Judged:
    """One case: what of an answer differs."""

    case: Golden
    count: int  # of the arrays that were compared
    differing: tuple[tuple[str, str], ...]  # (name, how)

    def line(self) -> str:
        if not self.differing:
            return f"{self.case.name}: agrees, {counted(self.count, 'array')}"
        told = "; ".join(f"{name} {how}" for name, how in self.differing[:4])
        more = f"; and {len(self.differing) - 4} more" if len(self.differing) > 4 else ""
        return f"{self.case.name} ({self.case.told}): differs: {told}{more}"


@dataclass(frozen=True, repr=False)
class GoldenAudit(Printed):
    """An answer to golden cases."""

    precision: str
    cases: tuple[Judged, ...]
    missing: tuple[str, ...]  # cases that are not answered

    @property
    def holds(self) -> bool:
        """Whether all that was answered is right."""
        return not any(each.differing for each in self.cases)

    def styled(self) -> str:
        return "\n".join(self.lines())

    def __repr__(self) -> str:
        wrong = sum(bool(each.differing) for each in self.cases)
        return f"<GoldenAudit: {counted(len(self.cases), 'case')}, of which {wrong} differ>"

    def lines(self) -> list[str]:
        """For a terminal: what is wrong first."""
        wrong = [each for each in self.cases if each.differing]
        head = f"{len(self.cases) - len(wrong)} of {counted(len(self.cases), 'case')} agree, as far as {self.precision} can"
        notes = [f"note: not answered: {', '.join(self.missing)}"] if self.missing else []
        rest = [each.line() for each in self.cases if not each.differing]
        return [head, "", *(each.line() for each in wrong), *rest, *([""] if notes else []), *notes]

    def as_json(self) -> dict[str, object]:
        """For machines."""
        return {
            "holds": self.holds, "precision": self.precision, "not_answered": list(self.missing),
            "cases": [{"name": each.case.name, "about": each.case.told, "compared": each.count,
                       "differing": [{"name": name, "how": how} for name, how in each.differing]} for each in self.cases],
        }


def is_answer(path: str | Path) -> bool:
    """Whether a file of arrays answers golden cases: its names are `CASE/NAME`."""
    return any("/" in name for name in load_arrays(Path(path)))


def audit_answers_to_cases(graph: Graph, path: str | Path) -> GoldenAudit:
    """Judge a file of answers. A `ForeignError` says what of it cannot be compared."""
    theirs = load_arrays(Path(path))
    derivation, sizes = derive(graph), choose_sizes(graph, LEAST_SIZE)
    known = {case.name for case in CASES}
    for name in theirs:
        if name.partition("/")[0] not in known or "/" not in name:
            cure = did_you_mean(name.partition("/")[0], known) or f"the cases are {', '.join(case.name for case in CASES)}"
            raise ForeignError(f"{path} holds '{name}', which is of no case; {cure}")
    precision = _precision(theirs)
    judged = [
        _judged(derivation, sizes, case, number, mine, precision)
        for number, case in enumerate(CASES)
        if (mine := {name.partition("/")[2]: array for name, array in theirs.items() if name.startswith(f"{case.name}/")})
    ]
    compared = tuple(each for each in judged if each.count)
    if not compared:
        raise ForeignError(f"{path} holds no result: it needs outputs 'CASE/y', or gradients 'CASE/d_NAME'")
    answered = {each.case.name for each in compared}
    return GoldenAudit(precision, compared, tuple(case.name for case in CASES if case.name not in answered))


_UNITS = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}


def _precision(theirs: Mapping[str, np.ndarray]) -> str:
    """The lowest precision of the results. NumPy has no bfloat16: float32 numbers whose last 16 bits are zero are such."""
    results = [array for name, array in theirs.items() if _is_result(name.partition("/")[2])]
    found = {str(array.dtype) for array in results}
    singles = [array for array in results if array.dtype == np.float32 and array.size]
    if singles and not any(np.any(np.ascontiguousarray(array).view(np.uint32) & 0xFFFF) for array in singles):
        return "bfloat16"
    return next((name for name in ("float16", "float32") if name in found), "float64")


def _is_result(name: str) -> bool:
    return name == "y" or name.startswith(("y_", "last.", "d_"))


def _judged(
    derivation: Derivation, sizes: Mapping[str, int], case: Golden, number: int, theirs: Mapping[str, np.ndarray],
    precision: str,
) -> Judged:
    data = _data(derivation.graph, sizes, case, number)
    true = _results(derivation, sizes, data)
    given = _given(derivation.graph, data)
    unknown = [name for name in theirs if name not in true and name not in given]
    if unknown:
        cure = did_you_mean(unknown[0], tuple(true)) or f"results are {', '.join(true)}"
        raise ForeignError(f"'{case.name}/{unknown[0]}' is no result of this cell; {cure}")
    allowed = _allowed(derivation, sizes, data, true, precision)
    said = {name: real(f"{case.name}/{name}", array) for name, array in theirs.items() if name in true}
    differing = tuple((name, how) for name, array in said.items() if (how := _how(array, true[name], allowed[name])))
    return Judged(case, len(said), differing)


@np.errstate(all="ignore")
def _how(said: np.ndarray, true: np.ndarray, allowed: float) -> str:
    """How one array differs; "" where it does not."""
    if said.shape != true.shape:
        return f"is {said.shape} and should be {true.shape}"
    if not np.isfinite(said).all():
        return "has numbers that are not finite"
    error = float(np.abs(said - true).max(initial=0))
    if error <= allowed:
        return ""
    largest = float(np.abs(true).max(initial=0))
    return f"is off by {100 * error / largest:.3g} %" if largest else "should be zero"


def _allowed(
    derivation: Derivation, sizes: Mapping[str, int], data: Data, true: Mapping[str, np.ndarray], precision: str
) -> dict[str, float]:
    """How far an entry of each result may be off.

    In low precision: what the rounding of the inputs does to the result, measured, times a factor for the operations in
    between. So a result that is ill-conditioned is allowed more, and one that is not is held to the digits that there are.
    """
    largest = {name: float(np.abs(array).max(initial=0)) for name, array in true.items()}
    if precision == "float64":
        return {name: EXACT * size for name, size in largest.items()}
    unit = _UNITS[precision]
    moved = dict.fromkeys(true, 0.0)
    for other in _rounded(data, unit):
        for name, array in _results(derivation, sizes, other).items():
            moved[name] = max(moved[name], float(np.abs(array - true[name]).max(initial=0)))
    operations = ALLOWED * max(1.0, (data.steps / 4) ** 0.5)  # errors of single steps add up as a random walk does
    return {name: operations * moved[name] + 4 * unit * size for name, size in largest.items()}


def _rounded(data: Data, unit: float) -> Iterator[Data]:
    """The same data, each entry changed by up to one rounding."""
    random = np.random.default_rng(11)

    def moved(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: array * (1 + unit * random.uniform(-1, 1, array.shape)) for name, array in arrays.items()}

    for _ in range(ROUNDED):
        yield Data(moved(data.params), moved(data.inputs), moved(data.state), moved(data.dy), moved(data.dstate))
