"""A hand-written backward function, or the numbers it gave, held against the true gradients.

A function is called as `FUNCTION(params, x, state, dy, dstate)` and answers a dict of gradients:

* `params`: a dict of arrays by the spec's own names, in the spec's shapes;
* `x`: the input, (T, B, D); a dict by name where the spec has several;
* `state`: a dict of the initial states, (B, H) each;
* `dy`: the gradient that arrives at the output, (T, B, H); a dict by name where there are several outputs;
  where the spec has a loss, the target instead;
* `dstate`: a dict of the gradients that arrive at the last states.

The answer holds, under the spec's names or with `d_` before them, gradients of parameters, of inputs
(T, B, D) and of initial states (B, H); and, if one likes, of any other value at every step, (T, B, ...).
What is not there is not compared.

What differs is explained by trying: our own gradients with a branch cut or altered, until they are theirs.
The function is a stranger's code. It runs in a process of its own, with a time limit, and only if asked for.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, is_zipfile

import numpy as np

from ..derivation.chain import ELEMENTWISE, OUTPUT, START, Contribution, Derivation, derive
from ..derivation.graph import Graph
from ..errors import Mistakes, Place
from ..language.expressions import Adjoint, Expression, Outside, Value, transform, values
from ..language.shapes import ShapeMismatch, describe, shape_of
from ..numerics.points import choose_sizes
from .scene import Edit, Scene, Setting
from .slips import slips
from .spelling import Spelling
from .truth import Truth

STEPS, BATCH = 4, 2
SECONDS = 60.0
BOUND = 1e-7  # relative, in float64
FLOAT32 = 1e-3  # where their numbers are of single precision
ZERO_STATES, NO_DSTATE = "zero", "dstate"

_RUNNER = """
import importlib.util, sys
import numpy as np
path, function, source, target = sys.argv[1:5]
spec = importlib.util.spec_from_file_location("audited", path)
module = importlib.util.module_from_spec(spec)
sys.path.insert(0, path.rpartition("/")[0] or ".")
spec.loader.exec_module(module)
given = np.load(source)
def group(name):
    return {key[len(name) + 1:]: given[key] for key in given.files if key.startswith(name + ":")}
def one(arrays):
    return next(iter(arrays.values())) if len(arrays) == 1 else arrays
backward = getattr(module, function)
found = backward(group("params"), one(group("x")), group("state"), one(group("dy")), group("dstate"))
if hasattr(found, "_asdict"):
    found = found._asdict()
np.savez(target, **{str(name): np.asarray(array) for name, array in dict(found).items()})
"""


class ForeignError(Exception):
    """A function or a file of arrays that cannot be compared; the sentence says why."""


@dataclass(frozen=True)
class Comparison:
    """One gradient, theirs beside ours."""

    name: str
    agrees: bool
    error: float  # relative to the largest entry; infinite where it cannot be told in per cent
    how: str = ""  # how it differs
    first: str = ""  # where the first difference appears, going backwards

    def line(self) -> str:
        if self.agrees:
            return f"d_{self.name}: agrees"
        where = f"; {self.first}" if self.first else ""
        return f"d_{self.name}: differs, {self.how}{where}"


@dataclass(frozen=True)
class CodeAudit:
    """Every gradient compared, and what explains the differences."""

    comparisons: tuple[Comparison, ...]
    explanation: str  # "" where all agree or nothing explains it
    complete: bool  # whether the explanation gives every one of their numbers

    @property
    def holds(self) -> bool:
        return all(comparison.agrees for comparison in self.comparisons)

    def lines(self) -> list[str]:
        told = [comparison.line() for comparison in self.comparisons]
        if not self.holds:
            told.append("")
            if self.explanation:
                told.append(f"explanation: {self.explanation}")
                if not self.complete:
                    told.append("this explains some of the gradients that differ, not all")
            else:
                told.append("no single cut or altered branch explains the difference")
        return told

    def as_json(self) -> dict:
        return {
            "holds": self.holds,
            "gradients": [
                {
                    "name": each.name,
                    "agrees": each.agrees,
                    "first": each.first or None,
                    "error": None if np.isinf(each.error) or np.isnan(each.error) else each.error,
                }
                for each in self.comparisons
            ],
            "explanation": self.explanation or None,
            "explains_all": self.complete,
        }


# ---------------------------------------------------------------- data


@dataclass(frozen=True)
class Data:
    """What a backward pass is given; time first, batch second."""

    params: Mapping[str, np.ndarray]
    inputs: Mapping[str, np.ndarray]  # and targets
    state: Mapping[str, np.ndarray]
    dy: Mapping[str, np.ndarray]
    dstate: Mapping[str, np.ndarray]

    @property
    def steps(self) -> int:
        return len(next(iter(self.inputs.values())))

    @property
    def batch(self) -> int:
        return next(iter(self.inputs.values())).shape[1]

    def first(self, steps: int) -> Data:
        """The same with fewer steps."""
        return Data(
            self.params,
            {name: array[:steps] for name, array in self.inputs.items()},
            self.state,
            {name: array[:steps] for name, array in self.dy.items()},
            self.dstate,
        )


class _Given(Scene):
    """A scene of data that are given."""

    def __init__(
        self,
        derivation: Derivation,
        sizes: Mapping[str, int],
        data: Data,
        edits: Mapping[int, Edit] | None = None,
        without: str = "",
    ):
        self.data, self.without, self._edits = data, without, edits or {}
        super().__init__(derivation, Setting(data.steps, data.batch, sizes))

    def _draw(self, reach: float) -> None:
        data, graph, batch = self.data, self.graph, self.data.batch
        self.edits = self._edits
        self.fixed = {
            name: np.broadcast_to(array, (batch, *array.shape)) for name, array in data.params.items()
        }
        start = {
            name: 0 * array if self.without == ZERO_STATES else array for name, array in data.state.items()
        }
        self.values = {0: start}
        for step in range(1, self.steps + 4):
            at = min(step, self.steps) - 1
            self.values[step] = {name: data.inputs[name][at] for name in (*graph.inputs, *graph.targets)}
        self.weights = {
            (name, step + 1): array[step] for name, array in data.dy.items() for step in range(self.steps)
        }
        self.final = {} if self.without == NO_DSTATE else dict(data.dstate)


def draw(graph: Graph, sizes: Mapping[str, int]) -> Data:
    """Random data: nothing is zero, so that nothing can be forgotten unseen."""
    random = np.random.default_rng(0)
    ranges = {item.name: (float(item.low), float(item.high)) for item in graph.spec.ranges}

    def drawn(name: str, *lead: int) -> np.ndarray:
        shape = (*lead, *(dim.value(sizes) for dim in graph.shapes[name]))
        return np.asarray(random.uniform(*ranges.get(name, (-1.0, 1.0)), shape))

    def weights(name: str, *lead: int) -> np.ndarray:
        shape = (*lead, *(dim.value(sizes) for dim in graph.shapes[name]))
        return np.asarray(random.uniform(0.5, 1.5, shape) * random.choice([-1.0, 1.0], shape))

    return Data(
        params={name: drawn(name) for name in graph.parameters},
        inputs={name: drawn(name, STEPS, BATCH) for name in (*graph.inputs, *graph.targets)},
        state={name: drawn(name, BATCH) for name in graph.states},
        dy={name: weights(name, STEPS, BATCH) for name in graph.outputs} if graph.loss is None else {},
        dstate={name: weights(name, BATCH) for name in graph.states},
    )


# ---------------------------------------------------------------- their numbers


def run_function(path: str | Path, function: str, graph: Graph, data: Data, seconds: float = SECONDS) -> dict:
    """What a stranger's function answers, from a process of its own."""
    arrays = {f"params:{name}": array for name, array in data.params.items()}
    arrays |= {f"x:{name}": data.inputs[name] for name in graph.inputs}
    arrays |= {f"state:{name}": array for name, array in data.state.items()}
    arrays |= {f"dy:{name}": array for name, array in data.dy.items()}
    arrays |= {f"dy:{name}": data.inputs[name] for name in graph.targets}
    arrays |= {f"dstate:{name}": array for name, array in data.dstate.items()}
    with tempfile.TemporaryDirectory(prefix="lstmgen-") as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.npz"
        np.savez(given, **arrays)
        # -B: no bytecode beside somebody's file, which would be taken for a change of the same second and size
        command = [sys.executable, "-B", "-c", _RUNNER, str(Path(path).resolve()), function, str(given), str(found)]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=seconds,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ForeignError(
                f"{function} of {path} was still running after {seconds:g} seconds and was stopped"
            ) from None
        if done.returncode or not found.is_file():
            said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise ForeignError(f"{function} of {path} failed: {said[:300]}")
        return _loaded(found)


def _loaded(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file. Nothing in it is run: arrays of objects, which are, are refused."""
    try:
        with open(path, "rb") as stream:
            if not is_zipfile(stream):
                raise ForeignError(f"{path} is no .npz file: np.savez(FILE, W=W, x=x, dy=dy, d_W=dW) writes one")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except OSError as problem:
        raise ForeignError(f"{path} cannot be read: {problem.strerror or problem}") from None
    except (ValueError, EOFError, BadZipFile) as problem:
        raise ForeignError(f"{path.name} cannot be read: {problem}") from None


@np.errstate(all="ignore")  # what is too large for float64 becomes infinite, and that is told as what it is
def _real(name: str, array: np.ndarray) -> np.ndarray:
    """Somebody's numbers in float64. `ForeignError` where they are texts, or complex: half of it would be lost."""
    kind = np.asarray(array).dtype
    if not np.issubdtype(kind, np.integer) and not np.issubdtype(kind, np.floating):
        raise ForeignError(f"'{name}' is no array of real numbers: its dtype is {kind}")
    return np.asarray(array, float)


def _finite(name: str, array: np.ndarray) -> np.ndarray:
    """The same of what a gradient is computed from."""
    found = _real(name, array)
    if not np.isfinite(found).all():
        raise ForeignError(f"'{name}' holds a number that is not finite: no gradient can be computed from it")
    return found


def read_arrays(path: str | Path, graph: Graph) -> tuple[Data, dict[str, np.ndarray], dict[str, int]]:
    """Data and gradients of an .npz file.

    Parameters and inputs are by their names; then `state.h`, `dy`, `dstate.h`, and the gradients `d_NAME`.
    """
    arrays = _loaded(Path(path))
    theirs = {name: array for name, array in arrays.items() if name.startswith("d_")}

    def needed(name: str) -> np.ndarray:
        if name not in arrays:
            raise ForeignError(
                f"{path} has no '{name}'; it needs every parameter and input under the spec's name, "
                "'state.NAME', 'dy' or 'dy_NAME', 'dstate.NAME', and gradients as 'd_NAME'"
            )
        return _finite(name, arrays[name])

    params = {name: needed(name) for name in graph.parameters}
    inputs = {name: needed(name) for name in (*graph.inputs, *graph.targets)}
    for name, array in inputs.items():
        if array.ndim < 2 or 0 in array.shape[:2]:
            wanted = ", ".join(["T", "B", *map(str, graph.shapes[name])])
            raise ForeignError(f"{name} is {array.shape}; expected ({wanted}), with at least one step and one example")
    sizes = _sizes(graph, params | {name: array[0, 0] for name, array in inputs.items()})
    batch = next(iter(inputs.values())).shape[1]

    def state(prefix: str, name: str) -> np.ndarray:
        key = f"{prefix}.{name}"
        shape = (batch, *(dim.value(sizes) for dim in graph.shapes[name]))
        return _finite(key, arrays[key]) if key in arrays else np.zeros(shape)

    dy = {}
    for name in graph.outputs if graph.loss is None else ():
        alone = "dy" if len(graph.outputs) == 1 and f"dy_{name}" not in arrays else f"dy_{name}"
        dy[name] = needed(alone)
    data = Data(
        params,
        inputs,
        {name: state("state", name) for name in graph.states},
        dy,
        {name: state("dstate", name) for name in graph.states},
    )
    _check(graph, data, sizes)
    return data, theirs, sizes


def _sizes(graph: Graph, arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """The sizes that the arrays show."""
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        shape = graph.shapes[name]
        if array.ndim != len(shape):
            raise ForeignError(f"{name} has {array.ndim} axes, and the spec says {describe(shape)}")
        for dim, size in zip(shape, array.shape):
            if len(dim.terms) == 1 and dim.terms[0][1] == 1 and not dim.constant:
                sizes.setdefault(dim.terms[0][0], size)
    missing = [symbol for symbol, _ in graph.dims if symbol not in sizes]
    if missing:
        raise ForeignError(f"the arrays do not show the size {missing[0]}")
    return sizes


def _check(graph: Graph, data: Data, sizes: Mapping[str, int]) -> None:
    steps, batch = data.steps, data.batch
    groups = (
        (data.params, ()),
        (data.inputs, (steps, batch)),
        (data.state, (batch,)),
        (data.dy, (steps, batch)),
        (data.dstate, (batch,)),
    )
    for group, lead in groups:
        for name, array in group.items():
            expected = (*lead, *(dim.value(sizes) for dim in graph.shapes[name]))
            if array.shape != expected:
                raise ForeignError(f"{name} is {array.shape}; expected {expected}")


# ---------------------------------------------------------------- the comparison


def audit_module(graph: Graph, path: str | Path, function: str, seconds: float = SECONDS) -> CodeAudit:
    """Run a stranger's backward function and hold what it answers against the true gradients."""
    if not Path(path).is_file():
        raise ForeignError(f"there is no file '{path}'")
    derivation, sizes = derive(graph), choose_sizes(graph, 2)
    data = draw(graph, sizes)
    theirs = run_function(path, function, graph, data, seconds)
    comparer = Comparer(derivation, sizes, data, theirs)
    if comparer.differing:
        for steps in range(1, STEPS):
            shorter = data.first(steps)
            comparer.at_length(steps, shorter, run_function(path, function, graph, shorter, seconds))
    return comparer.audit()


def audit_arrays(graph: Graph, path: str | Path) -> CodeAudit:
    """Hold somebody's numbers against the true gradients of the same data."""
    data, theirs, sizes = read_arrays(path, graph)
    return Comparer(derive(graph), sizes, data, theirs).audit()


class Comparer:
    """Their gradients beside ours, and ours altered until they are theirs."""

    def __init__(
        self, derivation: Derivation, sizes: Mapping[str, int], data: Data, theirs: Mapping[str, np.ndarray]
    ):
        self.derivation, self.graph, self.sizes, self.data = derivation, derivation.graph, sizes, data
        self.spelling, self.truth = Spelling(self.graph), Truth(derivation)
        self.theirs = self._named(theirs)
        single = any(np.asarray(array).dtype == np.float32 for array in theirs.values())
        self.bound = FLOAT32 if single else BOUND
        self.ours = self.gradients()
        for name, array in self.ours.items():
            if not np.isfinite(array).all():
                raise ForeignError(f"the true gradient of {name} is not finite at these numbers: nothing can be compared")
        self.lengths: dict[str, int] = {}  # the least number of steps at which each gradient differs
        self.differing = [name for name in self.theirs if not self._agrees(self.ours, name)]

    def _named(self, theirs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        known = {*self.derivation.adjoints, *self.graph.states}
        found = {}
        for name, array in theirs.items():
            bare = name if name in known else name.removeprefix("d_")
            if bare not in known:
                raise ForeignError(
                    f"'{name}' is no gradient of this cell: expected parameters, inputs and states "
                    f"by their names, such as {', '.join(self.graph.parameters[:3])}"
                )
            found[bare] = _real(name, array)
        if not found:
            raise ForeignError("there is no gradient to compare")
        return found

    # ------------------------------------------------------------------ ours

    @np.errstate(all="ignore")  # huge numbers overflow, and altered terms divide by zero
    def gradients(self, edits: Mapping[int, Edit] | None = None, without: str = "") -> dict[str, np.ndarray]:
        """Our gradients in the shapes of theirs."""
        scene = _Given(self.derivation, self.sizes, self.data, edits, without)
        found = {}
        for name, array in self.theirs.items():
            if name in self.graph.static:
                found[name] = scene.total(name).sum(axis=0)
            elif name in self.graph.states and array.ndim == len(self.graph.shapes[name]) + 1:
                found[name] = scene.leaf(Adjoint(name), 0)
            else:
                found[name] = np.stack(
                    [scene.leaf(Adjoint(name), step) for step in range(1, scene.steps + 1)]
                )
        return found

    def _agrees(self, ours: Mapping[str, np.ndarray], name: str) -> bool:
        return self._error(ours, name) <= self.bound

    @np.errstate(all="ignore")  # infinite numbers of theirs are an answer like any other
    def _error(self, ours: Mapping[str, np.ndarray], name: str) -> float:
        true, said = ours[name], self.theirs[name]
        if true.shape != said.shape or not np.isfinite(said).all() or not np.isfinite(true).all():
            return np.inf  # what is not finite agrees with nothing
        largest = np.abs(true).max(initial=0)
        error = np.abs(true - said).max(initial=0)
        return float(error / largest) if largest else (0.0 if not error else np.inf)

    def _how(self, name: str) -> str:
        """How one gradient of theirs differs from ours."""
        true, said = self.ours[name], self.theirs[name]
        if true.shape != said.shape:
            return f"its shape is {said.shape} and should be {true.shape}"
        if not np.isfinite(said).all():
            return "it holds numbers that are not finite"
        if not np.any(true):
            return "it should be zero"
        per_cent = 100 * self._error(self.ours, name)
        return f"off by {per_cent:.3g} %" if np.isfinite(per_cent) else "it is larger by far"

    # ------------------------------------------------------------------ where

    def at_length(self, steps: int, data: Data, theirs: Mapping[str, np.ndarray]) -> None:
        """Note which gradients differ already in a sequence of so many steps."""
        shorter = Comparer(self.derivation, self.sizes, data, theirs)
        for name in shorter.differing:
            self.lengths.setdefault(name, steps)

    @np.errstate(all="ignore")  # as above
    def _first(self, name: str) -> str:
        true, said = self.ours[name], self.theirs[name]
        if (
            true.shape == said.shape
            and name not in self.graph.static
            and len(true) == self.data.steps
            and (name not in self.graph.states or true.ndim == len(self.graph.shapes[name]) + 2)
        ):
            scale = np.abs(true).max(initial=0)
            steps = [
                step
                for step in range(len(true))
                if not np.abs(true[step] - said[step]).max(initial=0) <= self.bound * scale  # nor if it is no number
            ]
            if steps:
                return f"the first difference on the way back is at step {steps[-1] + 1} of {len(true)}"
        if name in self.lengths:
            count = self.lengths[name]
            return (
                "in a sequence of one step already"
                if count == 1
                else f"from {count} steps on: it agrees for {count - 1}"
            )
        return ""

    # ------------------------------------------------------------------ why

    def audit(self) -> CodeAudit:
        comparisons = tuple(
            Comparison(
                name,
                self._agrees(self.ours, name),
                self._error(self.ours, name),
                "" if self._agrees(self.ours, name) else self._how(name),
                "" if self._agrees(self.ours, name) else self._first(name),
            )
            for name in self.theirs
        )
        if not self.differing:
            return CodeAudit(comparisons, "", True)
        return CodeAudit(comparisons, *self._explained())

    def _explained(self) -> tuple[str, bool]:
        best, found = "", 0
        for sentence, edits, without in self._tries():
            altered = self.gradients(edits, without)
            if not all(self._agrees(altered, name) or name in self.differing for name in self.theirs):
                continue
            count = sum(self._agrees(altered, name) for name in self.differing)
            if count == len(self.differing):
                return sentence, True
            if count > found:
                best, found = sentence, count
        return best, False

    def _tries(self) -> Iterator[tuple[str, dict[int, Edit], str]]:
        """What may have happened, the commonest first."""
        yield "the initial states are taken to be zero: what they were is not read", {}, ZERO_STATES
        yield "dstate, the gradient that arrives at the last states, is not read", {}, NO_DSTATE
        forks = [fork for fork in self.derivation.contributions() if fork.kind not in (OUTPUT, START)]
        yield from self._cut_whole(forks)
        for fork in forks:
            yield f"the branch of {self._told(fork)} is missing", {id(fork): Edit(cut="always")}, ""
        yield from self._boundaries(forks)
        for fork in forks:
            if fork.kind == ELEMENTWISE:
                straight = Edit(instead=self._straight(fork))
                yield (
                    (
                        f"the gradient goes through {self.spelling(Value(fork.reader))} unchanged "
                        f"(straight through), on the branch of {self._told(fork)}"
                    ),
                    {id(fork): straight},
                    "",
                )
        for fork in forks:
            for slip in slips(fork.term, self.graph, set(self.graph.shapes), self.spelling):
                if slip.rank <= 3 and self._fits(fork, slip.altered):
                    yield (
                        f"on the branch of {self._told(fork)}: {slip.sentence}",
                        {id(fork): Edit(slip.altered)},
                        "",
                    )

    def _cut_whole(self, forks: list[Contribution]) -> Iterator[tuple[str, dict[int, Edit], str]]:
        """Whole bundles: all that comes from the next step, and all that goes back to one value."""
        later_ = [fork for fork in forks if fork.lag]
        yield "nothing comes back from the next step: every recurrent branch is missing", _all_cut(later_), ""
        for state in self.graph.states:
            own = [fork for fork in later_ if fork.target == state]
            if len(own) > 1:
                yield (
                    f"nothing comes back to {state} from the next step: its recurrent branches are missing",
                    _all_cut(own),
                    "",
                )
        static = [fork for fork in forks if fork.over_time]
        for cut, kept in (("not first", "the first step"), ("not last", "the last step")):
            yield (
                f"the gradients of the parameters hold {kept} alone: they are set, not added up, over steps "
                "(= for +=)",
                {id(fork): Edit(cut=cut) for fork in static},
                "",
            )
            own = [fork for fork in static if fork.target in self.differing]
            yield (
                f"the gradients of {', '.join(self.differing)} hold {kept} alone: set, not added up, "
                "over the steps (= for +=)",
                {id(fork): Edit(cut=cut) for fork in own},
                "",
            )
            for name in self.graph.parameters:
                own = [fork for fork in static if fork.target == name]
                yield (
                    f"the gradient of {name} holds {kept} alone: it is set, not added up, over the steps "
                    "(= for +=)",
                    {id(fork): Edit(cut=cut) for fork in own},
                    "",
                )
        for gradient in self.derivation.stages:
            own = [fork for fork in forks if fork.target == gradient.value]
            if own:
                yield (
                    f"{self.spelling(Value(gradient.value))} is treated as a constant: no gradient goes back "
                    "through it",
                    _all_cut(own),
                    "",
                )
                stage = self.graph.find(gradient.value)
                if stage is not None:
                    through = [fork for fork in forks if fork.reader == stage.name]
                    yield (
                        f"nothing goes back through {self.spelling(Value(stage.name))}",
                        _all_cut(through),
                        "",
                    )

    def _boundaries(self, forks: list[Contribution]) -> Iterator[tuple[str, dict[int, Edit], str]]:
        """Terms that read the step before, at the first step; and those at the last."""
        reads_back = [fork for fork in forks if fork.over_time and _reads_before(fork.term)]
        edits = {id(fork): Edit(cut="first") for fork in reads_back}
        yield (
            "the boundary at the first step: what the parameters owe to the initial states is missing",
            edits,
            "",
        )
        for state in self.graph.states:
            own = [fork for fork in reads_back if _reads_before(fork.term, state)]
            yield (
                f"the boundary at the first step: what the parameters owe to the initial {state} "
                "is missing",
                {id(fork): Edit(cut="first") for fork in own},
                "",
            )
        for fork in reads_back:
            yield (
                f"the boundary at the first step: the branch of {self._told(fork)} is missing there",
                {id(fork): Edit(cut="first")},
                "",
            )
        static = [fork for fork in forks if fork.over_time]
        yield (
            "the shares of the first step are missing in the parameters",
            {id(fork): Edit(cut="first") for fork in static},
            "",
        )
        yield (
            "the shares of the last step are missing in the parameters",
            {id(fork): Edit(cut="last") for fork in static},
            "",
        )

    def _straight(self, fork: Contribution) -> Expression:
        return _moved(fork.upstream, fork.lag, self.graph.static)

    def _fits(self, fork: Contribution, expression: Expression) -> bool:
        try:
            return shape_of(expression, self.graph.shapes) == self.graph.shapes[fork.target]
        except (ShapeMismatch, TypeError, KeyError, ValueError):
            return False

    def _told(self, fork: Contribution) -> str:
        """`c through f_pre of the next step, d_f_pre[t+1] * p_f`."""
        when = " of the next step" if fork.lag else ""
        term = self.spelling(self.truth.inlined(fork.term))
        return f"{self.spelling(Value(fork.target))} through {fork.reader}{when} ({term})"


def _all_cut(forks: list[Contribution]) -> dict[int, Edit]:
    return {id(fork): Edit(cut="always") for fork in forks}


def _reads_before(expression: Expression, state: str | None = None) -> bool:
    return any(value.lag < 0 and state in (None, value.name) for value in values(expression))


def _moved(expression: Expression, lag: int, static: frozenset[str]) -> Expression:
    def rule(node: Expression) -> Expression | None:
        if isinstance(node, (Value, Adjoint, Outside)) and node.name not in static:
            return type(node)(node.name, node.lag + lag)
        return None

    return transform(expression, rule)


def split_target(text: str) -> tuple[str, str]:
    """FILE.py:FUNCTION as its two parts; an error that says how it is written where it is not."""
    path, colon, function = text.rpartition(":")
    if not colon or not path or not function.isidentifier():
        raise Mistakes(text, "").fatal(Place(1, 1), "write --module FILE.py:FUNCTION")
    return path, function
