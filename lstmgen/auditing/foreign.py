"""Somebody's gradients in numbers: the result of a function, or the contents of a file of arrays.

The function is somebody else's code. It runs in a process of its own, with a time limit, and only if asked for.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from zipfile import BadZipFile, is_zipfile

import numpy as np

from ..derivation.graph import Graph
from ..language.cures import named_gradient
from ..language.names import did_you_mean
from ..language.shapes import describe
from .given import Data

SECONDS = 60.0

_CALL = "(params, x, state, dy, dstate)"  # how their function is called
_RUNNER = """
import importlib.util, sys, traceback
import numpy as np

path, name, source, target, call = sys.argv[1:6]

def fail(problem):
    # with the last line of their own file that led to it
    own = [frame for frame in traceback.extract_tb(problem.__traceback__) if frame.filename == path]
    if isinstance(problem, SyntaxError):
        own = [problem]
    place = f"line {own[-1].lineno}: " if own else ""
    sys.exit(f"{place}{type(problem).__name__}: {getattr(problem, 'msg', problem)}")

spec = importlib.util.spec_from_file_location("audited", path)
module = importlib.util.module_from_spec(spec)
sys.path.insert(0, path.rpartition("/")[0] or ".")
try:
    spec.loader.exec_module(module)
except BaseException as problem:
    fail(problem)
backward = module
for part in name.split("."):
    if isinstance(backward, type):
        try:
            backward = backward()
        except Exception as problem:
            sys.exit(f"{backward.__name__}() cannot be made without arguments ({problem}): "
                     "write a function that makes one and calls it")
    if not hasattr(backward, part):
        known = [each for each, value in vars(module).items() if callable(value) and not each.startswith("_")]
        sys.exit(f"there is no '{part}' in it; it has {', '.join(known) or 'no function'}")
    backward = getattr(backward, part)

given = np.load(source)
def group(name):
    return {key[len(name) + 1:]: given[key] for key in given.files if key.startswith(name + ":")}
def one(arrays):
    return next(iter(arrays.values())) if len(arrays) == 1 else arrays
arguments = group("params"), one(group("x")), group("state"), one(group("dy")), group("dstate")
try:
    import inspect
    inspect.signature(backward).bind(*arguments)
except TypeError as problem:
    sys.exit(f"it is called as {name}{call}: {problem}")
except ValueError:
    pass  # a builtin without a signature
try:
    found = backward(*arguments)
except BaseException as problem:
    fail(problem)
if hasattr(found, "_asdict"):
    found = found._asdict()
if not hasattr(found, "keys"):
    size = f" of {len(found)}" if isinstance(found, (tuple, list)) else ""
    keys = ", ".join(f'"{key}": ...' for key in list(arguments[0])[:3])
    sys.exit(f"it returned a {type(found).__name__}{size}, and a dictionary is needed: return {{{keys}}}")
try:
    arrays = {str(key): np.asarray(found[key]) for key in found.keys()}
    if any(array.dtype == object for array in arrays.values()):
        raise TypeError("one of them holds other objects")
    np.savez(target, **arrays)
except (TypeError, ValueError) as problem:
    sys.exit(f"what it returned is not a dictionary of arrays of numbers: {problem}")
"""

_savez: Callable[..., None] = np.savez  # mypy takes one of the arrays for its flag


class ForeignError(Exception):
    """A function or a file of arrays that cannot be compared; the message says why."""


def run_function(
    path: str | Path, function: str, graph: Graph, data: Data, seconds: float = SECONDS
) -> dict[str, np.ndarray]:
    """Run somebody's function in a process of its own, and return its result."""
    arrays = {f"params:{name}": array for name, array in data.params.items()}
    arrays |= {f"x:{name}": data.inputs[name] for name in graph.inputs}
    arrays |= {f"state:{name}": array for name, array in data.state.items()}
    arrays |= {f"dy:{name}": array for name, array in data.dy.items()}
    arrays |= {f"dy:{name}": data.inputs[name] for name in graph.targets}
    arrays |= {f"dstate:{name}": array for name, array in data.dstate.items()}
    with tempfile.TemporaryDirectory(prefix="lstmgen-") as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.npz"
        _savez(given, **arrays)
        # -B: no bytecode beside somebody's file, which would be taken for a change of the same second and size
        command = [sys.executable, "-B", "-c", _RUNNER, str(Path(path).resolve()), function, str(given), str(found), _CALL]
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
        return loaded(found)


def loaded(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file. Nothing in it is run: arrays of objects, which are, are refused."""
    try:
        with open(path, "rb") as stream:
            if not is_zipfile(stream):
                raise ForeignError(f"{path} is not an .npz file: np.savez(FILE, W=W, x=x, dy=dy, d_W=dW) writes one")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except OSError as problem:
        raise ForeignError(f"{path} cannot be read: {problem.strerror or problem}") from None
    except (ValueError, EOFError, BadZipFile) as problem:
        raise ForeignError(f"{path.name} cannot be read: {problem}") from None


@np.errstate(all="ignore")  # what is too large for float64 becomes infinite, and that is told as what it is
def real(name: str, array: np.ndarray) -> np.ndarray:
    """Somebody's numbers in float64. `ForeignError` where they are texts, or complex: half of it would be lost."""
    kind = np.asarray(array).dtype
    if not np.issubdtype(kind, np.integer) and not np.issubdtype(kind, np.floating):
        raise ForeignError(f"'{name}' is not an array of real numbers: its dtype is {kind}")
    return np.asarray(array, float)


def _finite(name: str, array: np.ndarray) -> np.ndarray:
    """The same of what a gradient is computed from."""
    found = real(name, array)
    if not np.isfinite(found).all():
        raise ForeignError(f"'{name}' holds a number that is not finite: no gradient can be computed from it")
    return found


def read_arrays(
    path: str | Path, graph: Graph, batch_first: bool = False
) -> tuple[Data, dict[str, np.ndarray], dict[str, int]]:
    """Data and gradients of an .npz file.

    Parameters and inputs are by their names; then `state.h`, `dy`, `dstate.h`, and the gradients `d_NAME`. With
    `batch_first`, the first two axes of inputs and `dy` are exchanged.
    """
    arrays = loaded(Path(path))
    values = {*graph.parameters, *graph.inputs, *graph.states, *(stage.name for stage in graph.stages)}
    theirs = {}
    for name, array in arrays.items():
        if name in _names(graph):
            continue
        if not name.startswith("d_") and gradient_meant(name, values) is None or name in values:
            raise ForeignError(f"{path} holds '{name}', which this cell does not have; " + (
                did_you_mean(name, [*_names(graph), *(f"d_{value}" for value in values)]) or _NEEDED))
        theirs[name] = array

    def needed(name: str) -> np.ndarray:
        if name not in arrays:
            raise ForeignError(
                f"{path} has no '{name}'; {_NEEDED}"
            )
        found = _finite(name, arrays[name])
        return found.swapaxes(0, 1) if batch_first and name not in graph.parameters and found.ndim > 1 else found

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


_NEEDED = ("it needs every parameter and input under the spec's name, 'dy' or 'dy_NAME', gradients as 'd_NAME', and may "
           "have 'state.NAME' and 'dstate.NAME'")


def _names(graph: Graph) -> tuple[str, ...]:
    """What a file of arrays may hold beside gradients."""
    outside = [] if graph.loss else [*(["dy"] if len(graph.outputs) == 1 else []), *(f"dy_{name}" for name in graph.outputs)]
    states = [f"{group}.{name}" for group in ("state", "dstate") for name in graph.states]
    return (*graph.parameters, *graph.inputs, *graph.targets, *outside, *states)


def gradient_meant(name: str, values: Collection[str]) -> str | None:
    """The value whose gradient is called so, by its own name, as `d_NAME`, or as code has it: `dW`, `dWf`, `grad_W`."""
    for bare in (name, name.removeprefix("d_")):
        if bare in values:
            return bare
    found = named_gradient(name, values, ())
    return found[0] if found else None


def _sizes(graph: Graph, arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """The sizes that the arrays show."""
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        shape = graph.shapes[name]
        if array.ndim != len(shape):
            raise ForeignError(f"{name} has {array.ndim} axes, and the spec says {describe(shape)}")
        for dim, size in zip(shape, array.shape):
            if dim.symbol:
                sizes.setdefault(dim.symbol, size)
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
