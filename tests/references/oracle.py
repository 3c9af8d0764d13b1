"""What a reference is: a cell computed by somebody else's code, at arguments drawn from a seed.

An oracle computes a whole sequence in PyTorch from leaves that bear *our* spec's parameter names; how they
are laid out for the other side (stacked gates, two biases, another meaning of z) is written in the oracle,
in one direction only. The gradients under our names then come from autograd, through that layout.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np

# All different, so that no transposition and no mistaken axis goes unseen; P < H, as PyTorch asks.
SIZES = {"T": 6, "B": 3, "D": 2, "H": 5, "P": 4, "O": 4, "M": 4, "K": 7, "S": 7}

# relative to the largest entry of each array
BOUNDS = {"float64": 1e-10, "float32": 2e-6}

ORACLES: list[Oracle] = []


@dataclass(frozen=True)
class Oracle:
    """One implementation of one cell."""

    cell: str  # the spec's name
    source: str  # "torch.nn.LSTM"
    package: str  # whose version is recorded
    convention: str  # how the other side names and orders things
    parameters: dict[str, tuple[str, ...]]  # under the spec's names
    inputs: dict[str, tuple[str, ...]]
    states: dict[str, tuple[str, ...]]
    outputs: dict[str, tuple[str, ...]]  # empty where the cell has a loss
    targets: tuple[str, ...]  # those of the inputs that only the loss reads
    learned: bool  # the cell starts from its own parameters
    compute: Callable  # (parameters, inputs, start) -> (outputs, final states), namespaces to dictionaries
    precision: str = "float64"  # what it computes in
    gradients: bool = True  # a runtime for inference gives none
    independent: bool = False  # ours, from a paper's equations, and not somebody's library
    equal_sizes: int = 0  # how many sizes repeat another: 1 for a cell that adds its input to its state
    sizes: dict[str, int] = field(default_factory=lambda: dict(SIZES))
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.cell}.{'equations' if self.independent else self.package}"

    @property
    def seed(self) -> int:
        return zlib.crc32(self.name.encode())


@dataclass(frozen=True)
class Reference:
    """What an oracle said. `arrays` by group and name; the groups are those of `GROUPS`."""

    about: dict
    arrays: dict[str, dict[str, np.ndarray]]

    def save(self, path: Path) -> None:
        """All numbers in one array, and where each begins in `about`: half the bytes of many arrays."""
        layout = {group: {name: held[name].shape for name in held} for group, held in self.arrays.items()}
        values = np.concatenate([held[name].ravel() for held in self.arrays.values() for name in held])
        np.savez_compressed(path, about=np.array(json.dumps({**self.about, "layout": layout})), values=values)

    @staticmethod
    def load(path: Path) -> Reference:
        with np.load(path) as file:
            about, values = json.loads(str(file["about"])), file["values"]
        arrays = {group: {} for group in GROUPS}
        for group, shapes in about.pop("layout").items():
            for name, shape in shapes.items():
                count = math.prod(shape)
                arrays[group][name], values = values[:count].reshape(shape), values[count:]
        return Reference(about, arrays)


# The loss is sum(weights * outputs) + sum(end_weights * end), or the cell's own loss for the first sum.
DRAWN = ("parameters", "inputs", "start", "weights", "end_weights")
COMPUTED = ("outputs", "end", "d_parameters", "d_inputs", "d_start")
GROUPS = DRAWN + COMPUTED


def axes(text: str) -> dict[str, tuple[str, ...]]:
    """`"W R: H D | zeta:"` -> {"W": ("H", "D"), "R": ("H", "D"), "zeta": ()}"""
    found = {}
    for group in filter(str.strip, text.split("|")):
        names, _, shape = group.partition(":")
        found |= dict.fromkeys(names.split(), tuple(shape.split()))
    return found


def size(axis: str, sizes: dict[str, int]) -> int:
    """`"4*H"`, `"N*G"`, `"D+H"`, `"3"` -> a number."""
    if "+" in axis:
        return sum(size(part, sizes) for part in axis.split("+"))
    return math.prod(sizes[part] if part in sizes else int(part) for part in axis.split("*"))


def oracle(
    cell: str,
    source: str,
    parameters: str,
    *,
    states: str = "h: H",
    outputs: str = "h: H",
    inputs: str = "x: D",
    targets: tuple[str, ...] = (),
    package: str = "torch",
    learned: bool = False,
    convention: str = "",
    **others,
) -> Callable:
    """Registers a function over whole sequences. Its docstring is the convention."""

    def register(compute: Callable) -> Callable:
        told = " ".join((convention or compute.__doc__ or "").split())
        fields = (axes(parameters), axes(inputs), axes(states), axes(outputs), targets, learned, compute)
        ORACLES.append(Oracle(cell, source, package, told, *fields, **others))
        return compute

    return register


def draw(asked: Oracle, rng: np.random.Generator, sizes: dict[str, int]) -> dict[str, dict[str, np.ndarray]]:
    """Arguments and weights. Multiples of 2**-10: exact in float32 too, and they compress well."""

    def array(name: str, shape: tuple[int, ...]) -> np.ndarray:
        low, high = asked.ranges.get(name, (-1.0, 1.0))
        return np.asarray(np.round(rng.uniform(low, high, shape) * 1024) / 1024)

    def arrays(declared: dict[str, tuple[str, ...]], *leading: str) -> dict[str, np.ndarray]:
        return {
            name: array(name, tuple(size(axis, sizes) for axis in (*leading, *shape)))
            for name, shape in declared.items()
        }

    return {
        "parameters": arrays(asked.parameters),
        "inputs": arrays(asked.inputs, "T", "B"),
        "start": {} if asked.learned else arrays(asked.states, "B"),
        "weights": arrays(asked.outputs, "T", "B"),
        "end_weights": arrays(asked.states, "B"),
    }


def consult(asked: Oracle, seed: int | None = None, **sizes: int) -> Reference:
    """Draws arguments from a seed and asks the oracle."""
    import torch

    seed = asked.seed if seed is None else seed
    sizes = {**asked.sizes, **sizes}
    used = {
        axis
        for group in (asked.parameters, asked.inputs, asked.states)
        for shape in group.values()
        for axis in shape
    }
    drawn = draw(asked, np.random.default_rng(seed), sizes)
    leaves = {
        group: {
            name: torch.tensor(array, dtype=torch.float64, requires_grad=asked.gradients)
            for name, array in drawn[group].items()
        }
        for group in ("parameters", "inputs", "start")
    }
    outputs, end = asked.compute(*(SimpleNamespace(**leaves[group]) for group in leaves))
    end = {name: end[name] for name in asked.states}
    outputs = {name: outputs[name] for name in asked.outputs or ("loss",)}
    computed = {"outputs": outputs, "end": end}
    if asked.gradients:
        total = sum((outputs[name] * torch.tensor(weight)).sum() for name, weight in drawn["weights"].items())
        total = total + sum(
            (end[name] * torch.tensor(weight)).sum() for name, weight in drawn["end_weights"].items()
        )
        if "loss" in outputs:
            total = total + outputs["loss"]
        flat = [leaf for held in leaves.values() for leaf in held.values()]
        gradients = iter(torch.autograd.grad(total, flat, materialize_grads=True))
        computed |= {f"d_{group}": {name: next(gradients) for name in held} for group, held in leaves.items()}
    told_sizes = {
        symbol: count for symbol, count in sizes.items() if symbol in "TB" or _mentions(used, symbol)
    }
    about = {
        "cell": asked.cell,
        "oracle": asked.source,
        "package": asked.package,
        "version": version(asked.package).partition("+")[0],
        "seed": seed,
        "precision": asked.precision,
        "gradients": asked.gradients,
        "sizes": told_sizes,
        "equal_sizes": asked.equal_sizes,
    }
    arrays = {group: {} for group in GROUPS} | drawn
    for group, held in computed.items():
        arrays[group] = {
            name: np.asarray(value.detach(), np.dtype(asked.precision)) for name, value in held.items()
        }
    for target in asked.targets:  # a module gives no gradient at a target
        arrays["d_inputs"].pop(target, None)
    return Reference(about, arrays)


def _mentions(axes: set[str], symbol: str) -> bool:
    return any(symbol in axis.replace("*", "+").split("+") for axis in axes)
