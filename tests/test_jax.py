"""The JAX output: every cell beside its NumPy module, and under everything that people do to a function in JAX.

What needs no JAX is tested without it: the text and the table of functions. The rest is skipped where JAX is missing,
and runs in `make test FRAMEWORKS=1`.
"""

from __future__ import annotations

import ast
import importlib.util
import itertools
import os
import re
import subprocess
import sys
from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner

from lstmgen.cli import main
from lstmgen.language import functions
from lstmgen.numerics.points import Point, draw_point
from lstmgen.outputs.jax import functions as jax_functions
from lstmgen.outputs.jax.module import module_source as jax_source
from lstmgen.outputs.jax.target import TARGET
from lstmgen.outputs.numpy.module import module_source
from lstmgen.outputs.targets import CannotRun, import_file
from lstmgen.pipeline import _schedule, execute
from lstmgen.proofs.verify import verify_target
from lstmgen.resources import TEMPLATES
from lstmgen.schedule.records import Schedule

LAST = """\
name: last
dims: {D: input_size, H: hidden_size, K: k_size}
inputs: {x: D}
state: {h: H, c: H}
parameters: {W: [H, D], R: [H, H], b: [H], V: [K, H], h_0: [H]}
equations:
  a: W @ x + R @ h[t-1] + b
  c: 0.5 * c[t-1] + tanh(a)
  h: c * sigmoid(a)
output: h
initial: {h: h_0, c: 0.25}
targets: {target: K, weight: []}
loss: weight * sum((target - V @ h) ** 2) + 0.1 * sum(c[t-1] * c) + sum(h[t-1] * b)
loss_at: last
"""
EVERY = """\
name: every
dims: {D: input_size, H: hidden_size, K: k_size}
inputs: {x: D}
state: {h: H, c: H}
parameters: {W: [H, D], R: [H, H], b: [H], V: [K, H], s: []}
equations:
  a: W @ x + R @ h[t-1] + b
  c: 0.5 * c[t-1] + tanh(a)
  h: c * sigmoid(a)
output: h
initial: {c: 0.25}
targets: {target: K}
loss: mean((target - V @ h) ** 2) + 0.1 * sum(c[t-1] * c) + sum(h) + s
"""
CLASHING = """\
name: clashing
dims: {key: keys, H: key}
inputs: {jnp: key, now: []}
state: {lax: H, end: []}
constants: {two: 2}
parameters:
  jax: [H, key]
  before: [H, H]
  after: {shape: [H], init: 0.5}
  at_step: {shape: [H, H], init: orthogonal}
  given: {shape: [H], init: uniform}
  start: []
equations:
  sizes: jax @ jnp + before @ lax[t-1] + after
  kept: tanh(sizes) * sigmoid(two) * start
  where_: where(sizes > 0, 1, 0)
  lax: kept + at_step @ lax[t-1] * given + now + 0.1 * where_
  end: 0.5 * end[t-1] + sum(kept)
  outputs: lax * end
output: [outputs, end]
"""
NO_PARAMETERS = """\
name: bare
inputs: {x: []}
state: {h: H, m: H}
equations:
  m: where(h[t-1] > 0, 1, 0.5)
  h: tanh(h[t-1]) * x + 0.25
output: [h, m]
"""
STILL = """\
name: still
inputs: {x: H}
state: {h: H, c: H}
parameters: {b: H, p: H}
equations:
  c: b * 2
  h: x + c[t-1] * p + h[t-1]
output: h
"""
OPERATIONS = """\
name: operations
inputs: {x: D}
state: {h: H}
parameters: {W: [4*H, D], R: [4*H, H], b: [4*H], P: [H, H], g: [4]}
equations:
  z: W @ x + R @ h[t-1] + b
  i: sigmoid(part(z, 0, 4) + P @ h[t-1])
  f: part(z, 1, 4)
  o: layer_norm(part(z, 2, 4)) * softmax(part(z, 3, 4))
  k: cumsum(f * o)
  e: repeat(part(g, 0, 2), 2)
  h: h[t-1] * i + 0.1 * k * sum(e) / sqrt(H) + logsumexp(f) + max(i, f) + stop_gradient(f)
output: h
"""
# XLA takes a third of the time to compile what runs a moment.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

ODD = {"last": LAST, "every": EVERY, "clashing": CLASHING, "bare": NO_PARAMETERS, "still": STILL, "operations": OPERATIONS}


@pytest.fixture
def jax() -> ModuleType:
    return pytest.importorskip("jax")


@pytest.fixture
def wide(jax):
    """In 64 bits."""
    with jax.enable_x64(True):
        yield jax


@lru_cache(maxsize=4)
def cell(name: str) -> tuple[Schedule, ModuleType]:
    """A packaged cell, or one of `ODD`: its schedule and its NumPy module."""
    schedule = _schedule(ODD.get(name, name))
    return schedule, execute(module_source(schedule, verified=True), name)


def built(name: str, folder: Path) -> ModuleType:
    """A cell's JAX module, as users import it."""
    path = folder / f"{name}_jax.py"
    path.write_text(jax_source(cell(name)[0], verified=True), encoding="utf-8")
    return import_file(path)


class Drawn:
    """Numbers for one call, as float64."""

    def __init__(self, name: str, module: ModuleType, steps: int = 5, batch: int = 4):
        self.graph = cell(name)[0].graph
        self.sizes = {symbol: 3 + 2 * index for index, (symbol, _) in enumerate(self.graph.dims)}
        self.point: Point = draw_point(self.graph, self.sizes, steps, batch, np.random.default_rng(0), 1.0)
        self.params = {key: np.asarray(array) for key, array in module.stored(self.point.parameters).items()}
        self.inputs = [self.point.inputs[each] for each in self.graph.inputs]
        self.targets = [self.point.inputs[each] for each in self.graph.targets]
        self.state = module.State(**self.point.state)
        self.final = module.State(**self.point.final)
        weights = [self.point.weights[each] for each in self.graph.outputs] if self.graph.loss is None else []
        self.dy = weights[0] if len(weights) == 1 else weights and module.Outputs(*weights)


def scanned(jax, module):
    """The same as `forward`, as people write it: a scan over the lines of `step`, for JAX to differentiate."""
    plain = module._one_step.__wrapped__

    def forward(params, *inputs, state):
        sizes = module._checked_step(params, *(array[0] for array in inputs), state)[0]

        def at_step(state, now):
            y, state = plain(sizes, params, *now, state)
            return state, y

        end, y = jax.lax.scan(at_step, state, inputs)
        return y, end

    return forward


def objective(jax, forward, drawn, targets=()):
    """What is differentiated: a sum of everything that comes out, weighted; of a loss, three times the loss."""
    def value(params, inputs, state):
        first, end = forward(params, *inputs, *targets, state=state)
        parts = zip((*jax.tree.leaves(drawn.dy), *drawn.final), (*jax.tree.leaves(first), *end)) if not targets else (
            (3.0, first), *zip(drawn.final, end))
        return sum((weight * part).sum() for weight, part in parts)

    return value


def of_type(jax, tree, dtype: str):
    return jax.tree.map(lambda array: jax.numpy.asarray(array, dtype), tree)


def worst(jax, found, expected) -> float:
    """The largest max|a - b| / max|b| of any array."""
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    errors = [0.0]
    for ours, array in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
        ours, array = np.asarray(ours, float), np.asarray(array, float)
        assert ours.shape == array.shape
        errors.append(float(np.abs(ours - array).max(initial=0) / (np.abs(array).max(initial=0) or 1)))
    return max(errors)


# ---------------------------------------------------------------- every cell


def test_every_cell_passes_the_proofs_in_jax(jax, spec_path, tmp_path):
    check_proofs(spec_path.stem, tmp_path)


@pytest.mark.parametrize("name", ODD)
def test_odd_cells_pass_the_proofs_in_jax(jax, name, tmp_path):
    """A loss that reads states of the step before at the last step; names of JAX; no parameters; what stands still."""
    check_proofs(name, tmp_path)


def check_proofs(name: str, folder: Path) -> None:
    schedule, module = cell(name)
    for file, text in TARGET.texts(schedule, module, True).items():
        (folder / file).write_text(text, encoding="utf-8")
    figures = verify_target(schedule.graph, TARGET.load(folder, name), module)
    assert len(figures) > 12
    assert not [figure for figure in figures if not figure.passed]


def test_every_cell_keeps_its_type(jax, spec_path, tmp_path):
    """All that comes out has the type of the parameters; nothing is computed for it, only traced."""
    module = built(spec_path.stem, tmp_path)
    drawn = Drawn(spec_path.stem, module, steps=3, batch=2)

    def run(params, inputs, state, targets):
        first, end = module.forward(params, *inputs, *targets, state=state)
        return sum(array.sum() for array in jax.tree.leaves((first, end))), (first, end)

    def step(params, inputs, state):
        return module.step(params, *(array[0] for array in inputs), state)

    for dtype in ("bfloat16", "float16", "float32"):
        params, inputs, targets, state = of_type(
            jax, (drawn.params, drawn.inputs, drawn.targets, drawn.state), dtype)
        of_all = jax.eval_shape(jax.grad(run, argnums=(0, 1, 2), has_aux=True), params, inputs, state, targets)
        of_step = jax.eval_shape(step, params, inputs, state)
        assert {str(array.dtype) for array in jax.tree.leaves((of_all, of_step))} == {dtype}


# ---------------------------------------------------------------- beside JAX's own derivative


def lstm_by_hand(jax, module):
    """An LSTM without a line of ours, but for the names of the parameters."""
    jnp, sigmoid = jax.numpy, jax.nn.sigmoid

    def forward(params, x, state):
        p = module.named(params)

        def at_step(state, x):
            h, c = state
            z, i, f, o = (x @ p[f"W_{k}"].T + h @ p[f"R_{k}"].T + p[f"b_{k}"] for k in "zifo")
            c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(z)
            h = sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        end, y = jax.lax.scan(at_step, tuple(state), x)
        return y, end

    return forward


def gru_by_hand(jax, module):
    jnp, sigmoid = jax.numpy, jax.nn.sigmoid

    def forward(params, x, state):
        p = module.named(params)

        def at_step(h, x):
            r, z = (sigmoid(x @ p[f"W_{k}"].T + h @ p[f"R_{k}"].T + p[f"b_{k}"]) for k in "rz")
            n = jnp.tanh(x @ p["W_n"].T + p["b_n"] + r * (h @ p["R_n"].T + p["c_n"]))
            h = z * h + (1 - z) * n
            return h, h

        end, y = jax.lax.scan(at_step, state[0], x)
        return y, (end,)

    return forward


@pytest.mark.parametrize("name, by_hand", [("lstm", lstm_by_hand), ("gru", gru_by_hand)])
def test_the_gradient_of_a_scan_by_hand(wide, name, by_hand, tmp_path):
    module = built(name, tmp_path)
    drawn = Drawn(name, module)
    found, expected = (
        wide.jit(wide.grad(objective(wide, forward, drawn), argnums=(0, 1, 2)))(drawn.params, drawn.inputs, drawn.state)
        for forward in (module.forward, by_hand(wide, module)))
    assert worst(wide, found, expected) < 1e-13


SOME = ("peephole_lstm", "layer_norm_lstm", "mlstm", "phased_lstm", "lmu", "clashing", "bare")


@pytest.mark.parametrize("name", SOME)
def test_the_gradient_of_a_scan_over_the_forward_equations(wide, name, tmp_path):
    module = built(name, tmp_path)
    drawn = Drawn(name, module)
    found, expected = (
        wide.jit(wide.grad(objective(wide, forward, drawn), argnums=(0, 1, 2)))(drawn.params, drawn.inputs, drawn.state)
        for forward in (module.forward, scanned(wide, module)))
    assert worst(wide, found, expected) < 1e-12


@pytest.mark.parametrize("name", ["lstm", "clashing"])
def test_the_gradient_of_a_step(wide, name, tmp_path):
    """People scan over `step` themselves: its derivative is the derived one too."""
    module = built(name, tmp_path)
    drawn = Drawn(name, module)

    def loop(params, *inputs, state):
        def at_step(state, now):
            y, state = module.step(params, *now, state)
            return state, y

        end, y = wide.lax.scan(at_step, state, inputs)
        return y, end

    text = str(wide.make_jaxpr(module.step)(drawn.params, *(array[0] for array in drawn.inputs), drawn.state))
    assert "custom_vjp_call" in text
    found, expected = (
        wide.jit(wide.grad(objective(wide, forward, drawn), argnums=(0, 1, 2)))(drawn.params, drawn.inputs, drawn.state)
        for forward in (loop, module.forward))
    assert worst(wide, found, expected) < 1e-13


@pytest.mark.parametrize("name", ["every", "last", "ng_lstm", "ng_lstm_last"])
def test_a_loss_is_a_part_of_a_larger_one(wide, name, tmp_path):
    """The gradient at the loss need not be 1: 3 * loss + sum(w * state) is 3 * (loss + sum(w / 3 * state))."""
    module, (_, reference) = built(name, tmp_path), cell(name)
    drawn = Drawn(name, module)
    found = wide.jit(wide.grad(objective(wide, module.forward, drawn, drawn.targets), argnums=(0, 1, 2)))(
        drawn.params, drawn.inputs, drawn.state)
    _, _, tape = reference.forward(drawn.params, *drawn.inputs, *drawn.targets, state=tuple(drawn.state))
    grads = reference.backward(drawn.params, tape, dstate=reference.State(*(array / 3 for array in drawn.final)))
    expected = (grads.params, [getattr(grads, each) for each in drawn.graph.inputs], module.State(*grads.state))
    assert worst(wide, found, wide.tree.map(lambda array: 3 * array, expected)) < 1e-12


def test_a_learned_start(wide, tmp_path):
    """Without a state, its gradient is that of the parameter; with one, the parameter's is zero."""
    module = built("ng_lstm", tmp_path)
    drawn = Drawn("ng_lstm", module)
    value = objective(wide, module.forward, drawn, drawn.targets)
    unset, given = (wide.grad(value)(drawn.params, drawn.inputs, state) for state in (None, drawn.state))
    assert np.abs(unset["a_0"]).min() > 0 and np.abs(unset["c_0"]).min() > 0
    assert not given["a_0"].any() and not given["c_0"].any()
    start = module.initial_state(drawn.params, drawn.inputs[0][0])
    assert np.array_equal(start.a, np.broadcast_to(drawn.params["a_0"], start.a.shape))
    of_start = wide.grad(value, argnums=2)(drawn.params, drawn.inputs, start)
    assert worst(wide, unset["a_0"], of_start.a.sum(0)) < 1e-13


# ---------------------------------------------------------------- transformations


def test_jit_and_no_jit(wide, tmp_path):
    module = built("peephole_lstm", tmp_path)
    drawn = Drawn("peephole_lstm", module)
    gradient = wide.grad(objective(wide, module.forward, drawn), argnums=(0, 1, 2))
    arguments = (drawn.params, drawn.inputs, drawn.state)
    assert worst(wide, wide.jit(gradient)(*arguments), gradient(*arguments)) < 1e-14
    outputs = [forward(drawn.params, *drawn.inputs) for forward in (wide.jit(module.forward), module.forward)]
    assert worst(wide, *outputs) < 1e-14


def take(index, array):
    return array[index]


@pytest.mark.parametrize("name", ["lstm", "ng_lstm", "clashing"])
def test_vmap_over_parameters_and_inputs(wide, name, tmp_path):
    """An axis of its own, in front: a model for each of three sets of parameters, on inputs of its own."""
    module = built(name, tmp_path)
    drawn = Drawn(name, module)
    gradient = wide.grad(objective(wide, module.forward, drawn, drawn.targets), argnums=(0, 1))
    scales = np.array([1.0, 0.5, -0.25])
    params, inputs = wide.tree.map(lambda array: np.multiply.outer(scales, array), (drawn.params, drawn.inputs))
    found = wide.jit(wide.vmap(gradient, in_axes=(0, 0, None)))(params, inputs, drawn.state)
    for index in range(3):
        part, *arguments = [wide.tree.map(partial(take, index), tree) for tree in (found, params, inputs)]
        assert worst(wide, part, gradient(*arguments, drawn.state)) < 1e-13


def test_vmap_over_inputs_alone(wide, tmp_path):
    module = built("gru", tmp_path)
    drawn = Drawn("gru", module)
    x = np.stack([drawn.inputs[0], 2 * drawn.inputs[0]])
    y, end = wide.vmap(module.forward, in_axes=(None, 0))(drawn.params, x)
    expected = [module.forward(drawn.params, each) for each in x]
    assert worst(wide, (y, end), wide.tree.map(lambda *each: np.stack(each), *expected)) < 1e-14


def test_checkpointing_by_jax(wide, tmp_path):
    """`jax.checkpoint` keeps nothing of the forward pass, and computes it again."""
    module = built("lstm", tmp_path)
    drawn = Drawn("lstm", module)
    found, expected = (
        wide.jit(wide.grad(objective(wide, forward, drawn)))(drawn.params, drawn.inputs, drawn.state)
        for forward in (wide.checkpoint(module.forward), module.forward))
    assert worst(wide, found, expected) < 1e-14


SHARDED = ("lstm", "fastgrnn", "ng_lstm", *ODD)
TWO_DEVICES = """
import sys
import jax, numpy as np
from jax.sharding import PartitionSpec as P
sys.path.insert(0, {root!r})
from pathlib import Path
from tests import test_jax as tests

mesh = jax.make_mesh((2,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
assert len(jax.devices()) == 2
jax.config.update("jax_enable_x64", True)
name = {name!r}
module = tests.built(name, Path({folder!r}))
drawn = tests.Drawn(name, module)
has_loss = bool(drawn.targets)
states = [drawn.state] if name == "bare" else [drawn.state, None]

def forward(params, *arguments, state):
    first, end = module.forward(params, *arguments, state=state)
    return (first[None] if has_loss else first), end  # a loss of each device

in_specs = (P(), *(P(None, "batch") for _ in (*drawn.inputs, *drawn.targets)), P("batch"))
out_specs = (P("batch") if has_loss else P(None, "batch"), P("batch"))
split = jax.shard_map(lambda *a: forward(*a[:-1], state=a[-1]), mesh=mesh, in_specs=in_specs, out_specs=out_specs)

def sharded(params, *arguments, state):
    return split(params, *arguments, state)

for state in states:
    argnums = (0, 1) if state is None else (0, 1, 2)
    found, expected = (
        jax.jit(jax.grad(tests.objective(jax, each, drawn, drawn.targets), argnums))(drawn.params, drawn.inputs, state)
        for each in (sharded, forward))
    assert tests.worst(jax, found, expected) < 1e-12
print("equal")
"""


@pytest.mark.parametrize("name", SHARDED)
def test_shard_map_over_the_batch(jax, name, tmp_path):
    """Two devices with half the batch each give the gradients of one, summed where parameters are shared."""
    root = str(Path(__file__).resolve().parent.parent)
    code = TWO_DEVICES.format(root=root, name=name, folder=str(tmp_path))
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout == "equal\n", done.stderr


def test_a_batch_that_is_cut_by_jit(jax, tmp_path):
    """Arrays that are spread over devices go through jit as any others: XLA cuts the work."""
    code = f"""
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
import sys
sys.path.insert(0, {str(tmp_path)!r})
import lstm_jax as m
mesh = jax.make_mesh((2,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
params = m.init_params(0, 3, 4)
x = np.random.default_rng(0).normal(size=(5, 6, 3)).astype("f")
gradient = jax.jit(jax.grad(lambda params, x: (m.forward(params, x)[0] ** 2).sum()))
spread = gradient(jax.device_put(params, NamedSharding(mesh, P())), jax.device_put(x, NamedSharding(mesh, P(None, "batch"))))
print(all(np.allclose(spread[k], each, rtol=1e-4, atol=1e-6) for k, each in gradient(params, x).items()))
"""
    built("lstm", tmp_path)
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout == "True\n", done.stderr


# ---------------------------------------------------------------- what it cannot


def test_forward_mode_is_refused_in_plain_words(jax, tmp_path):
    module = built("lstm", tmp_path)
    params = module.init_params(0, 2, 3)
    x = np.ones((4, 2, 2), np.float32)
    said = "lstm_jax has a derived backward pass, and no forward mode: use jax.grad, jax.vjp or jax.jacrev"
    for refused in (jax.jacfwd, lambda f: lambda x: jax.jvp(f, (x,), (x,))):
        for f in (lambda x: module.forward(params, x)[0], lambda x: module.step(params, x[0])[0]):
            with pytest.raises(TypeError, match=said):
                refused(f)(x)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jacfwd(jax.jit(lambda x: module.forward(params, x)[0]))(x)
    assert "no forward mode" in " ".join((module.__doc__ or "").split())


def test_other_errors_stay_what_they_are(jax, tmp_path):
    module = built("lstm", tmp_path)
    with pytest.raises(TypeError, match="^something else$"), module._reverse_mode():
        raise TypeError("something else")


def test_a_second_derivative(wide, tmp_path):
    """Of the derived backward pass JAX finds the derivative itself, in either order."""
    module = built("gru", tmp_path)
    drawn = Drawn("gru", module, steps=3, batch=2)
    values = [objective(wide, forward, drawn) for forward in (module.forward, scanned(wide, module))]
    direction = wide.tree.map(lambda array: np.cos(np.arange(array.size)).reshape(array.shape), drawn.params)

    def along(value):
        return lambda params: sum((d * g).sum() for d, g in zip(
            wide.tree.leaves(direction), wide.tree.leaves(wide.grad(value)(params, drawn.inputs, drawn.state))))

    found, expected = (wide.jit(wide.grad(along(value)))(drawn.params) for value in values)
    assert worst(wide, found, expected) < 1e-12

    def of_bias(value):
        return lambda bias: value(drawn.params | {"c_n": bias}, drawn.inputs, drawn.state)

    found, expected = (wide.jit(wide.hessian(of_bias(value)))(drawn.params["c_n"]) for value in values)
    assert worst(wide, found, expected) < 1e-12


def test_the_same_call_gives_the_same_bits(jax, tmp_path):
    module = built("lstm", tmp_path)
    params = module.init_params(0, 5, 40)
    x = jax.random.normal(jax.random.key(1), (30, 7, 5))
    gradient = jax.jit(jax.grad(lambda params: (module.forward(params, x)[0] ** 2).sum()))
    first = gradient(params)
    for _ in range(3):
        assert all(np.array_equal(each, first[name]) for name, each in gradient(params).items())


def test_the_precision_of_products_is_that_which_jax_is_set_to(jax, tmp_path):
    module = built("lstm", tmp_path)
    params, x = module.init_params(0, 2, 3), np.ones((4, 2, 2), np.float32)
    with jax.default_matmul_precision("highest"):
        told = str(jax.make_jaxpr(jax.grad(lambda params: module.forward(params, x)[0].sum()))(params))
    assert told.count("dot_general[") and "precision=None" not in told


def test_a_gradient_at_a_target_is_refused(jax, tmp_path):
    module = built("ng_lstm", tmp_path)
    params = module.init_params(0, 2, 3)
    x, target = np.ones((4, 2, 2), np.float32), np.ones((4, 2, 3), np.float32)

    def value(target):
        return module.forward(params, x, target)[0]

    for gradient in (jax.grad(value), jax.jit(jax.grad(value))):
        with pytest.raises(ValueError, match="there is no gradient at target, which is a target: give jax.lax.stop_gradient"):
            gradient(target)
    assert not jax.grad(lambda target: value(jax.lax.stop_gradient(target)))(target).any()
    assert jax.jit(jax.grad(lambda params, target: module.forward(params, x, target)[0]))(params, target)["W"].any()


# ---------------------------------------------------------------- sizes and types


@pytest.mark.parametrize("name", ["lstm", "layer_norm_lstm", "clashing", "every"])
def test_sizes_at_the_edges(wide, name, tmp_path):
    """No step, one step, no example, one example: as the NumPy module has it."""
    module, (_, reference) = built(name, tmp_path), cell(name)
    for steps, batch in ((0, 2), (1, 2), (3, 0), (1, 1)):
        drawn = Drawn(name, module, steps, batch)
        found = wide.grad(objective(wide, module.forward, drawn, drawn.targets), argnums=(0, 1, 2))(
            drawn.params, drawn.inputs, drawn.state)
        _, _, tape = reference.forward(drawn.params, *drawn.inputs, *drawn.targets, state=tuple(drawn.state))
        dstate = reference.State(*(array / 3 if drawn.targets else array for array in drawn.final))
        dy = () if drawn.targets else (drawn.dy if isinstance(drawn.dy, np.ndarray) else reference.Outputs(*drawn.dy),)
        grads = reference.backward(drawn.params, tape, *dy, dstate=dstate)
        expected = (grads.params, [getattr(grads, each) for each in drawn.graph.inputs], module.State(*grads.state))
        scaled = wide.tree.map(partial(np.multiply, 3 if drawn.targets else 1), expected)
        assert worst(wide, found, scaled) < 1e-12, (steps, batch)


@pytest.mark.parametrize("dtype, digits", [("float32", 2.0**-23), ("bfloat16", 2.0**-7), ("float16", 2.0**-10)])
@pytest.mark.parametrize("name", ["lstm", "gru", "layer_norm_lstm"])
def test_low_precision_is_as_near_as_jax_gets(jax, name, dtype, digits, tmp_path):
    """Against float64, the error over all gradients is at most a little larger than that of JAX's own derivative."""
    module = built(name, tmp_path)
    drawn = Drawn(name, module, steps=12)
    arguments = (drawn.params, drawn.inputs, drawn.state)

    def gradient(forward, arguments):
        def value(params, inputs, state):
            first, end = forward(params, *inputs, state=state)
            return sum((jax.numpy.asarray(weight, part.dtype) * part).sum()
                       for weight, part in zip((drawn.dy, *drawn.final), (first, *end)))

        return jax.jit(jax.grad(value, argnums=(0, 1, 2)))(*arguments)

    with jax.enable_x64(True):
        exact = jax.tree.map(np.asarray, gradient(module.forward, arguments))
    scale = np.sqrt(sum((array**2).sum() for array in jax.tree.leaves(exact)))

    def error(found):
        far = jax.tree.map(lambda ours, array: ((np.asarray(ours, float) - array) ** 2).sum(), found, exact)
        return np.sqrt(sum(jax.tree.leaves(far))) / scale

    low = of_type(jax, arguments, dtype)
    found, theirs = gradient(module.forward, low), gradient(scanned(jax, module), low)
    assert {str(array.dtype) for array in jax.tree.leaves(found)} == {dtype}
    assert error(found) <= 1.5 * error(theirs) + digits / 8


def test_a_sum_over_many_steps_in_bfloat16(jax, tmp_path):
    """The products over time are summed in more than bfloat16: 4096 equal terms are not lost behind the 256th."""
    module = built("rnn", tmp_path)
    params = jax.tree.map(jax.numpy.zeros_like, module.init_params(0, 1, 1, dtype="bfloat16"))
    x = jax.numpy.ones((4096, 1, 1), "bfloat16")
    grads = jax.jit(jax.grad(lambda params: module.forward(params, x)[0].astype("float32").sum()))(params)
    assert all(abs(float(grads[name].reshape(-1)[0]) - 4096) <= 32 for name in grads if name != "R_h")


def test_float64_has_to_be_switched_on(jax, tmp_path):
    module = built("lstm", tmp_path)
    with pytest.raises(ValueError, match='for float64, JAX has to be told first: jax.config.update'):
        module.init_params(0, 2, 3, dtype=np.float64)
    with jax.enable_x64(True):
        assert module.init_params(0, 2, 3, dtype=np.float64)["W"].dtype == np.float64


# ---------------------------------------------------------------- the interface


def test_parameters_are_those_of_the_numpy_module(wide, spec_path, tmp_path):
    module, (schedule, reference) = built(spec_path.stem, tmp_path), cell(spec_path.stem)
    sizes = [3 + 2 * index for index in range(len(schedule.graph.dims))]
    ours = module.init_params(wide.random.key(0), *sizes, dtype="float64")
    theirs = reference.init_params(*sizes, dtype=np.float64)
    assert list(ours) == list(theirs)
    views = reference.named(theirs)
    for name, array in module.named(ours).items():
        assert array.shape == views[name].shape
        if not np.any(np.ptp(views[name])):  # nothing random
            assert np.array_equal(array, views[name])
        else:
            assert np.ptp(array) and 0.2 < np.abs(array).max() / np.abs(views[name]).max() < 5
    again = module.stored(module.named(ours))
    assert all(np.array_equal(again[name], array) for name, array in ours.items())


def test_what_is_drawn_depends_on_the_key_alone(jax, tmp_path):
    module = built("clashing", tmp_path)
    first, same, other = (module.init_params(key, 3, 4) for key in (jax.random.key(5), 5, 6))
    assert all(np.array_equal(first[name], same[name]) for name in first)
    assert not np.array_equal(first["jax"], other["jax"])
    square = module.named(first)["at_step"]
    assert np.allclose(square @ square.T, np.eye(4), atol=1e-5)
    assert module.init_params(0, 3, 4, dtype="bfloat16")["after"].dtype.name == "bfloat16"


def test_init_params_takes_names(jax, tmp_path):
    module = built("lstm", tmp_path)
    assert module.init_params(key=0, input_size=2, hidden_size=3)["W"].shape == (12, 2)


def test_arguments_of_any_kind(jax, tmp_path):
    """Lists, NumPy's arrays, integers: what JAX takes. A number is converted to the parameters' type."""
    module = built("lstm", tmp_path)
    params = module.init_params(0, 2, 3)
    x = np.arange(8).reshape(2, 2, 2)
    y, end = module.forward(params, x.astype(np.float32))
    for given in (x, x.tolist(), jax.numpy.asarray(x, "bfloat16"), x.astype(bool) * x):
        assert np.array_equal(module.forward(params, given)[0], y)
    lists = {key: np.asarray(array).tolist() for key, array in params.items()}
    assert np.array_equal(module.forward(lists, x, [0 * end.h, 0 * end.c])[0], y)


@pytest.mark.parametrize(("change", "message"), [
    (lambda m, p, x: m.forward(p, x[:, :, :1]), "x has shape (5, 2, 1), expected (T, B, D) = (any, any, 3)"),
    (lambda m, p, x: m.forward({"W": p["W"]}, x), "params has the keys ['W'], expected ['R', 'W', 'b']"),
    (lambda m, p, x: m.forward(None, x), "params is NoneType, expected a dictionary with the keys"),
    (lambda m, p, x: m.forward({**p, "b": p["b"][:3]}, x), "params['b'] has shape (3,), expected (4*H) = (16)"),
    (lambda m, p, x: m.forward(p, x.astype(complex)), "x is no array of float32 numbers, expected (T, B, D)"),
    (lambda m, p, x: m.forward({k: v + 0j for k, v in p.items()}, x), "for complex128 there is lstm.py"),
    (lambda m, p, x: m.forward(p, x, (x[0],)), "state is tuple of 1, expected State(h, c)"),
    (lambda m, p, x: m.forward(p, "no array"), "x is no array of float32 numbers"),
    (lambda m, p, x: m.step(p, x), "x_t has shape (5, 2, 3), expected (B, D) = (any, 3)"),
    (lambda m, p, x: m.step(p, x[0], m.State(x[0], x[0])), "state.h has shape (2, 3), expected (B, H) = (2, 4)"),
    (lambda m, p, x: m.init_params(0, 0, 4), "input_size is 0, expected a whole number from 1 on"),
    (lambda m, p, x: m.init_params(0, 3, 4, dtype=int), "dtype is int"),
])
def test_mistakes_are_told(jax, change, message, tmp_path):
    module = built("lstm", tmp_path)
    with pytest.raises(ValueError) as caught:
        change(module, module.init_params(0, 3, 4), np.ones((5, 2, 3), np.float32))
    assert message in str(caught.value)


def test_a_loss_at_the_last_step(jax, tmp_path):
    """One target for the last step, or one for each; without a step there is none."""
    module = built("ng_lstm_last", tmp_path)
    params = module.init_params(0, 2, 3)
    x, target = np.ones((4, 2, 2), np.float32), np.linspace(0, 1, 24, dtype=np.float32).reshape(4, 2, 3)
    assert module.forward(params, x, target)[0] == module.forward(params, x, target[-1])[0]
    with pytest.raises(ValueError, match="the loss at the last step needs a step: T is 0"):
        module.forward(params, x[:0], target[:0])


# ---------------------------------------------------------------- the text


def test_the_table_of_functions_is_complete():
    """Macros are put in by the graph, and so is `where`, which has no entry."""
    assert jax_functions.TABLE.keys() == {
        name for name, entry in functions.TABLE.items() if not isinstance(entry, functions.Macro)}


def test_every_helper_that_a_call_needs_is_there_and_defines_what_is_called():
    for code in jax_functions.TABLE.values():
        called = re.findall(r"(?<![.\w])(_\w+)\(", code.call)
        assert bool(called) == bool(code.helper), code
        for name in called:
            text = (TEMPLATES / "jax" / "helpers" / f"{code.helper}.py").read_text(encoding="utf-8")
            assert f"def {name}(" in text, code


def test_the_module_stands_alone_and_carries_every_equation(spec_path):
    schedule = cell(spec_path.stem)[0]
    text = jax_source(schedule, verified=True)
    assert text.isascii()
    tree = ast.parse(text)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    imported = [alias.name for node in imports for alias in node.names]
    imported += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in imported} <= {"jax", "numpy"} | sys.stdlib_module_names
    passes = text[text.index("def _forward("):text.index("_all_steps.defvjp")]
    numbers = {int(number) for number in re.findall(r"# .*?\((\d+)\)", passes)} | {
        int(number) for found in re.findall(r"# (\(.*)", passes) for number in re.findall(r"\((\d+)\)", found)}
    for low, high in re.findall(r"\((\d+)\) to \((\d+)\)", passes):
        numbers |= set(range(int(low), int(high) + 1))
    plan = schedule.plan
    read = {gather.gradient.value for gather in schedule.backward.gathers()}
    gradients = {plan.gradient_numbers[name] for name in (*read, *schedule.graph.parameters)}
    assert numbers >= set(plan.numbers.values()) | gradients
    assert max(map(len, text.splitlines())) <= 190


def test_a_line_for_each_contribution():
    """A fork of c in the peephole LSTM: from the next step, and from two readers in this one."""
    text = jax_source(cell("peephole_lstm")[0], verified=True)
    fork = text[text.index("fork of c: one line per reader"):]
    lines = [re.split(r"\s+# ", line.strip(" +")) for line in fork.splitlines()[2:5]]
    assert lines == [["d_c_next", "step t+1: i_pre, f_pre, c"], ["d_o_pre * p_o", "o_pre"],
                     ["d_tanh_c * (1 - tanh_c ** 2)", "tanh_c"]]


def test_one_loop_in_each_direction(spec_path):
    text = jax_source(cell(spec_path.stem)[0], verified=True)
    assert text.count("lax.scan(") == 2 and text.count("reverse=True)\n") >= 1


# ---------------------------------------------------------------- the target


@pytest.mark.parametrize("right, wrong", [
    ("d_o = d_h * tanh_c ", "d_o = d_h * o "),
    ("+ dy  ", "- dy  "),
    ("(dy, z, i, f, c_prev, o, tanh_c), reverse=True)", "(dy, z, i, f, c_prev, o, tanh_c))"),
    ("d_h_next = d_pre @ R ", "d_h_next = d_pre @ R * (1 - 1e-9) "),
])
def test_a_fault_is_found(jax, right, wrong, tmp_path):
    schedule, module = cell("lstm")
    text = jax_source(schedule, verified=True)
    assert text.count(right) == 1
    (tmp_path / "lstm_jax.py").write_text(text.replace(right, wrong), encoding="utf-8")
    figures = verify_target(schedule.graph, TARGET.load(tmp_path, "lstm"), module)
    assert [figure for figure in figures if not figure.passed]


def test_without_jax_one_sentence_says_so(monkeypatch, tmp_path):
    (tmp_path / "lstm_jax.py").write_text(jax_source(cell("lstm")[0], verified=True), encoding="utf-8")
    for name in [*sys.modules]:
        if name == "jax" or name.startswith(("jax.", "jaxlib")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(CannotRun, match="^JAX is not installed here: pip install jax$"):
        TARGET.load(tmp_path, "lstm")


def test_the_command_builds_it(tmp_path):
    done = CliRunner().invoke(main, ["build", "rnn", "-o", str(tmp_path), "--target", "jax", "--no-document"])
    text = (tmp_path / "rnn_jax.py").read_text(encoding="utf-8")
    if importlib.util.find_spec("jax"):
        assert done.exit_code == 0, done.output
        assert re.search(r"^jax: verified, \d+ figures, the worst \d", done.output, re.MULTILINE)
        assert "NOT VERIFIED" not in text
    else:
        assert done.exit_code == 1
        assert "jax: NOT VERIFIED: JAX is not installed here: pip install jax" in done.output
        assert "NOT VERIFIED" in text
    assert [path.name for path in tmp_path.iterdir()] == ["rnn_jax.py"]


def test_the_same_bytes_every_time():
    first, second = (jax_source(_schedule("mlstm"), verified=True) for _ in range(2))
    assert first == second


def test_importing_lstmgen_imports_no_jax():
    code = "import sys, lstmgen.cli, lstmgen.pipeline, lstmgen.outputs.jax.target; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False,
                          env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)})
    assert done.stdout == "False\n", done.stderr


def test_two_copies_of_a_module_work_side_by_side(jax, tmp_path):
    one, two = built("gru", tmp_path), built("gru", tmp_path)
    params = one.init_params(0, 2, 3)
    x = np.ones((3, 1, 2), np.float32)
    state = one.forward(params, x)[1]
    for mine, other in itertools.permutations((one, two)):
        assert np.array_equal(mine.forward(params, x, other.State(*state))[0], mine.forward(params, x, state)[0])
