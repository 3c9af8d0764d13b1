"""Somebody's gradients in numbers: what a stranger's function answers, and what a file of arrays holds.

The function is a stranger's code. It runs in a process of its own, with a time limit, and only if asked for.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from zipfile import BadZipFile, is_zipfile

import numpy as np

from ..derivation.graph import Graph
from ..language.shapes import describe
from .given import Data

SECONDS = 60.0

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

_savez: Callable[..., None] = np.savez  # mypy takes one of the arrays for its flag


class ForeignError(Exception):
    """A function or a file of arrays that cannot be compared; the sentence says why."""


def run_function(
    path: str | Path, function: str, graph: Graph, data: Data, seconds: float = SECONDS
) -> dict[str, np.ndarray]:
    """What a stranger's function answers, from a process of its own."""
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
def real(name: str, array: np.ndarray) -> np.ndarray:
    """Somebody's numbers in float64. `ForeignError` where they are texts, or complex: half of it would be lost."""
    kind = np.asarray(array).dtype
    if not np.issubdtype(kind, np.integer) and not np.issubdtype(kind, np.floating):
        raise ForeignError(f"'{name}' is no array of real numbers: its dtype is {kind}")
    return np.asarray(array, float)


def _finite(name: str, array: np.ndarray) -> np.ndarray:
    """The same of what a gradient is computed from."""
    found = real(name, array)
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
