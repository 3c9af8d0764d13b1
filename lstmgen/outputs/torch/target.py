"""PyTorch as a target: NAME_torch.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from ...schedule.records import Schedule
from ..targets import C, CannotRun, Target, import_file
from .module import torch_source

Arrays = Mapping[str, np.ndarray]


def texts(schedule: Schedule, reference: ModuleType, verified: bool, checkpoint: int | None = None) -> dict[str, str]:
    """Every file's text, by its name. `checkpoint` is that of the C functions, if they are used."""
    return {f"{schedule.graph.spec.name}_torch.py": torch_source(schedule, verified, checkpoint)}


def load(folder: Path, name: str) -> ModuleType:
    """The file as a module with the interface of the NumPy module, for the proofs."""
    try:
        torch = import_module("torch")
    except ImportError:
        raise CannotRun("PyTorch is not installed: pip install torch, then build again") from None
    return _Driven(torch, import_file(folder / f"{name}_torch.py"))


@dataclass(frozen=True)
class _Gradients:
    """What `backward` of the NumPy module returns; a field that is not here is an input's."""

    params: Arrays
    inputs: Arrays
    state: Any

    def __getattr__(self, name: str) -> np.ndarray:
        return self.inputs[name]


class _Tape(NamedTuple):
    """What a second call of autograd needs."""

    y: Any  # the outputs as arrays
    made: tuple[Any, ...]  # tensors: the loss or the outputs, and the final state
    params: Mapping[str, Any]
    inputs: Mapping[str, Any]
    state: Any


class _Driven(ModuleType):
    """NAME_torch.py, called with arrays; gradients are those that autograd gives. It runs on `device`."""

    device = "cpu"

    def __init__(self, torch: Any, module: ModuleType):
        super().__init__(module.__name__)
        self.torch, self.module = torch, module
        self.State, self.named = module.State, module.named
        self.Outputs = getattr(module, "Outputs", None)
        self.start, self.started = module._start, None
        vars(module)["_start"] = self._started

    def _started(self, *arguments: Any) -> Any:
        """`_start` of the file, and remembered: the gradient of a state is asked for, also if it was not given."""
        start = self.start(*arguments)
        self.started = self.State(*(value if value.requires_grad else value.requires_grad_() for value in start))
        return self.started

    def init_params(self, rng: int, dtype: type, **sizes: int) -> dict[str, np.ndarray]:
        """Starting values as arrays."""
        generator = self.torch.Generator().manual_seed(rng)
        kind = self._tensor(np.zeros(0, dtype)).dtype
        params = self.module.init_params(**sizes, generator=generator, dtype=kind)
        return {key: value.numpy() for key, value in params.items()}

    def forward(self, params: Arrays, *arrays: np.ndarray, state: Any = None) -> tuple[Any, Any, _Tape]:
        """All steps; the tape is what autograd remembers."""
        held = {key: self._variable(array) for key, array in params.items()}
        inputs = {name: self._variable(array) for name, array in zip(self.module._INPUTS, arrays)}
        targets = map(self._tensor, arrays[len(inputs):])
        start = None if state is None else self.State(*map(self._variable, state))
        first, end, *rest = self.module._run(held, *inputs.values(), *targets, start)
        tape = _Tape(self._arrays(*rest or [first]), (*self._listed(first), *end), held, inputs, self.started)
        return self._arrays(first), self._arrays(end), tape

    def backward(self, params: Arrays, tape: _Tape, dy: Any = None, dstate: Any = None) -> _Gradients:
        """The gradients that autograd gives; what is None is left to be None there, too."""
        ends = (None,) * len(self.State._fields) if dstate is None else dstate
        outer = len(tape.made) - len(ends)
        firsts = [np.ones(())] if self.module._HAS_LOSS else [None] * outer if dy is None else self._listed(dy)
        reached = [(made, self._tensor(np.asarray(d, self._arrays(made).dtype)))
                   for made, d in zip(tape.made, (*firsts, *ends)) if d is not None]
        asked = [*tape.params.values(), *tape.inputs.values(), *tape.state]
        found: Sequence[Any] = [None] * len(asked)
        if reached:
            outputs, grads = zip(*reached)
            found = self.torch.autograd.grad(outputs, asked, grads, retain_graph=True, allow_unused=True)
        arrays = iter([np.zeros(value.shape, self._arrays(value).dtype) if grad is None else self._arrays(grad)
                       for value, grad in zip(asked, found)])
        of_params = dict(zip(tape.params, arrays))
        of_inputs = dict(zip(tape.inputs, arrays))
        return _Gradients(of_params, of_inputs, self.State(*arrays))

    def step(self, params: Arrays, *arrays: Any) -> tuple[Any, Any]:
        """One step."""
        *now, state = arrays
        held = {key: self._tensor(array) for key, array in params.items()}
        start = None if state is None else self.State(*map(self._tensor, state))
        y, end = self.module.step(held, *map(self._tensor, now), start)
        return self._arrays(y), self._arrays(end)

    def _tensor(self, array: np.ndarray) -> Any:
        """A tensor; on the CPU the same memory."""
        return self.torch.from_numpy(np.require(array, requirements="C")).to(self.device)

    def _variable(self, array: np.ndarray) -> Any:
        return self._tensor(array).requires_grad_()

    def _listed(self, value: Any) -> list[Any]:
        """One tensor or array, or each of several."""
        return [*value] if isinstance(value, tuple) else [value]

    def _arrays(self, value: Any) -> Any:
        """A tensor as an array; of a named tuple, every field."""
        return type(value)(*map(self._arrays, value)) if isinstance(value, tuple) else value.detach().cpu().numpy()


TARGET = Target(texts, load, uses=C)
