"""JAX as a target: NAME_jax.py, and what the proofs drive it through.

The proofs drive modules with the interface of the NumPy module. Here that is a layer of functions over `jax.vjp`, which
computes in float64 on the CPU, and leaves JAX's own settings as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from ...schedule.records import Schedule
from ..targets import CannotRun, Target, import_file
from .module import module_source

Arrays = Mapping[str, np.ndarray]


def texts(schedule: Schedule, reference: ModuleType, verified: bool, checkpoint: int | None = None) -> dict[str, str]:
    """Every file's text, by its name. The steps that JAX keeps are for `jax.checkpoint` to say."""
    return {f"{schedule.graph.spec.name}_jax.py": module_source(schedule, verified)}


def load(folder: Path, name: str) -> ModuleType:
    """The JAX module with the interface of the NumPy module."""
    try:
        module = import_file(folder / f"{name}_jax.py")
    except ModuleNotFoundError as error:
        if error.name not in ("jax", "jaxlib"):
            raise
        raise CannotRun("JAX is not installed here: pip install jax") from None
    driver = _Driver(module)
    driven = ModuleType(name)
    vars(driven).update(
        State=module.State, Gradients=Gradients, named=module.named, init_params=driver.init_params,
        forward=driver.forward, backward=driver.backward, step=driver.step)
    if hasattr(module, "Outputs"):
        vars(driven).update(Outputs=module.Outputs)
    return driven


class Tape(NamedTuple):
    """What `forward` was called with. `y` holds its outputs."""

    y: Any
    params: Arrays
    arguments: tuple[np.ndarray, ...]
    state: Any
    first: Any  # what `forward` returned first
    last: Any  # and the last state


class Gradients:
    """What `backward` returns: `params`, `state`, and a field for each input."""

    def __init__(self, params: Arrays, inputs: Mapping[str, np.ndarray], state: Any):
        self.params, self.state = params, state
        vars(self).update(inputs)


class _Driver:
    """The functions of the NumPy module's interface. Arrays go in and come out as NumPy's. It runs on `device`."""

    device = "cpu"

    def __init__(self, module: Any):
        import jax

        self.jax, self.module = jax, module
        _, *arguments, _ = signature(module.forward).parameters
        _, *of_a_step, _ = signature(module.step).parameters
        self.inputs = arguments[: len(of_a_step)]  # behind them, the targets
        self.compiled_forward, self.compiled_step = jax.jit(module.forward), jax.jit(module.step)
        self.compiled_backward = jax.jit(self._pulled_back)

    @contextmanager
    def _wide(self) -> Iterator[None]:
        """In 64 bits, on the device."""
        with self.jax.enable_x64(True), self.jax.default_device(self.jax.devices(self.device)[0]):
            yield

    def _numpy(self, tree: Any) -> Any:
        """Every array of a result as one of NumPy's that may be written to."""
        return self.jax.tree.map(np.array, tree)

    def init_params(self, *sizes: int, rng: int = 0, dtype: type = np.float32, **keywords: int) -> dict[str, np.ndarray]:
        with self._wide():
            made: dict[str, np.ndarray] = self._numpy(self.module.init_params(rng, *sizes, **keywords, dtype=dtype))
            return made

    def forward(self, params: Arrays, *arguments: np.ndarray, state: Any = None) -> tuple[Any, Any, Tape]:
        with self._wide():
            first, last = self._numpy(self.compiled_forward(params, *arguments, state=state))
        has_loss = isinstance(first, np.ndarray) and first.ndim == 0
        y = self._outputs(params, arguments, state) if has_loss else first
        return first, last, Tape(y, params, arguments, state, first, last)

    def _outputs(self, params: Arrays, arguments: tuple[np.ndarray, ...], state: Any) -> Any:
        """The outputs of a cell with a loss, whose `forward` returns none."""
        inputs, found = arguments[: len(self.inputs)], []
        for now in zip(*inputs):
            y, state = self.step(params, *now, state)
            found.append(y)
        return self.jax.tree.map(lambda *steps: np.stack(steps), *found)

    def step(self, params: Arrays, *arguments: Any, state: Any = None) -> tuple[Any, Any]:
        inputs = arguments[: len(self.inputs)]
        (state,) = arguments[len(inputs):] or (state,)
        with self._wide():
            result: tuple[Any, Any] = self._numpy(self.compiled_step(params, *inputs, state=state))
            return result

    def backward(self, params: Arrays, tape: Tape, dy: Any = None, dstate: Any = None) -> Gradients:
        if tape.first is not tape.y:
            dy = np.ones_like(tape.first)  # at the loss
        given = tuple(self._or_zero(given, result) for given, result in ((dy, tape.first), (dstate, tape.last)))
        with self._wide():
            found = self.compiled_backward(params, tape.arguments, tape.state, given)
            grads, inputs, state = self._numpy(found)
        return Gradients(grads, dict(zip(self.inputs, inputs)), state)

    def _or_zero(self, given: Any, result: Any) -> Any:
        return self.jax.tree.map(np.zeros_like, result) if given is None else given

    def _pulled_back(self, params: Any, arguments: Any, state: Any, given: Any) -> Any:
        """The gradients at parameters, inputs and the state that was used, for those at the results."""
        jax, module = self.jax, self.module
        inputs, targets = arguments[: len(self.inputs)], arguments[len(self.inputs):]

        def run(params: Any, inputs: Any, state: Any) -> Any:
            return module.forward(params, *inputs, *targets, state=state)

        def pull(state: Any) -> Any:
            return jax.vjp(run, params, inputs, state)[1](given)

        if state is not None:
            return pull(state)
        start = module.initial_state(params, *(array[0] for array in inputs))
        return (*pull(None)[:2], pull(start)[2])


TARGET = Target(texts, load)
