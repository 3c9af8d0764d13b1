"""Steps that are skipped and states that start anew: as a pattern in a spec, and as the PyTorch layer's own arguments."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from lstmgen.outputs.jax.module import module_source as jax_source
from lstmgen.outputs.numpy.module import module_source
from lstmgen.outputs.torch.module import torch_source
from lstmgen.pipeline import derive, execute, load
from lstmgen.schedule.make import make_schedule

T, B, D, H = 6, 4, 2, 3
LENGTHS = [6, 3, 5, 1]
FRESH = np.zeros((T, B))
FRESH[2, 0] = FRESH[4, 0] = FRESH[3, 2] = 1
KEEP = (np.arange(T)[:, None] < LENGTHS).astype(float)
PAGE = Path(__file__).parent.parent / "docs" / "language.md"


def pattern() -> str:
    """The spec of the docs, with an RNN's names."""
    (spec,) = re.findall(r"```yaml\n(name: masked\n.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return re.sub(r"\b([WRb])\b", r"\1_h", spec)


@pytest.fixture(scope="module")
def drawn():
    random = np.random.default_rng(0)
    shapes = {"W_h": (H, D), "R_h": (H, H), "b_h": (H,)}
    params = {name: random.uniform(-1, 1, shape) for name, shape in shapes.items()}
    return params, random.uniform(-1, 1, (T, B, D)), random.uniform(-1, 1, (T, B, H)) * KEEP[..., None]


@pytest.fixture(scope="module")
def of_the_layer(drawn):
    """Outputs where they count, and gradients, of the plain cell's layer with `lengths` and `is_init`."""
    torch = pytest.importorskip("torch")
    params, x, weights = drawn
    module = execute(torch_source(make_schedule(derive(load("cell: rnn\nname: plain"))), verified=False), "plain")
    layer = module.Layer(D, H, dtype=torch.float64)
    leaves = {name: torch.tensor(array, requires_grad=True) for name, array in params.items()}
    inputs = torch.tensor(x, requires_grad=True)
    y, _ = torch.func.functional_call(
        layer, {f"{name}_l0": leaf for name, leaf in leaves.items()}, (inputs,),
        {"lengths": LENGTHS, "is_init": torch.tensor(FRESH, dtype=torch.bool)})
    gradients = torch.autograd.grad((y * torch.tensor(weights)).sum(), [*leaves.values(), inputs])
    return y.detach().numpy(), [each.numpy() for each in gradients]


def test_the_pattern_in_numpy_is_what_the_layer_does(drawn, of_the_layer):
    params, x, weights = drawn
    module = execute(module_source(make_schedule(derive(load(pattern()))), verified=False), "masked")
    y, _, tape = module.forward(params, x, KEEP, FRESH)
    grads = module.backward(params, tape, weights)
    found, gradients = of_the_layer
    np.testing.assert_allclose(y * KEEP[..., None], found, atol=1e-12)
    for ours, theirs in zip((*grads.params.values(), grads.x), gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
    assert np.abs(gradients[0]).max() > 0.1


def test_the_pattern_in_jax_is_what_the_layer_does(drawn, of_the_layer):
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    params, x, weights = drawn
    module = execute(jax_source(make_schedule(derive(load(pattern()))), verified=False), "masked")
    gradients = jax.grad(lambda params, x: (module.forward(params, x, KEEP, FRESH)[0] * weights).sum(), (0, 1))(params, x)
    for ours, theirs in zip((*(gradients[0][name] for name in params), gradients[1]), of_the_layer[1], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
