"""The character model of char_model.py in JAX, on one device or on several that share each batch.

    lstmgen build lstm --target jax -o build/jax
    python examples/train_jax_sharded.py build/jax/lstm_jax.py
    python examples/train_jax_sharded.py build/jax/lstm_jax.py --devices 2

--devices divides the processor into devices, so that it can be tried anywhere; with accelerators, leave it out. Each
device reads its part of the batch, and the loss is the mean over all of them. So the losses are those of one device that
reads all of it, up to rounding.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from functools import partial
from pathlib import Path

from char_model import BITS, EMBEDDING, SIZE, TRAINED_ON, encode, read_library, side_by_side

RATE, DECAY, SMALL = 8e-3, (0.9, 0.99), 1e-8  # of Adam


def train(module: Path, hidden: int, steps: int, length: int, batch: int) -> None:
    import jax  # after --devices has been read
    import jax.numpy as jnp
    from jax.sharding import PartitionSpec as P

    cell = load(module)
    keys = jax.random.split(jax.random.key(0), 3)
    weights = {
        "cell": cell.init_params(keys[0], EMBEDDING, hidden),
        "E": jax.random.normal(keys[1], (SIZE, EMBEDDING)),
        "V": jax.random.normal(keys[2], (SIZE, hidden)) / hidden ** 0.5,
        "a": jnp.zeros(SIZE),
    }

    def loss_of(weights, known, wanted, state):
        """Characters (T, B) of one device, the ones that follow, and where the states start."""
        y, state = cell.forward(weights["cell"], weights["E"][known], state)
        scores = jax.nn.log_softmax(y @ weights["V"].T + weights["a"])
        chosen = jnp.take_along_axis(scores, wanted[..., None], -1)
        return jax.lax.pmean(-chosen.mean(), "batch"), state  # of all devices, and so is its gradient

    # Weights and Adam's means are the same on all devices (P()); characters and states are cut along the batch.
    mesh = jax.make_mesh((jax.device_count(),), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    columns, rows = P(None, "batch"), P("batch")

    @jax.jit
    @partial(jax.shard_map, mesh=mesh, in_specs=(P(), P(), columns, columns, rows), out_specs=(P(), P(), P(), rows))
    def learn(weights, means, known, wanted, state):
        (loss, state), grads = jax.value_and_grad(loss_of, has_aux=True)(weights, known, wanted, state)
        weights, means = adam(weights, means, grads)
        return loss, weights, means, state

    def adam(weights, means, grads):
        """Kingma and Ba 2015."""
        count, mean, square = means
        count += 1
        mean = jax.tree.map(lambda m, g: m + (1 - DECAY[0]) * (g - m), mean, grads)
        square = jax.tree.map(lambda s, g: s + (1 - DECAY[1]) * (g * g - s), square, grads)
        rate = RATE * jnp.sqrt(1 - DECAY[1] ** count) / (1 - DECAY[0] ** count)
        weights = jax.tree.map(lambda w, m, s: w - rate * m / (jnp.sqrt(s) + SMALL), weights, mean, square)
        return weights, (count, mean, square)

    known, wanted = side_by_side(encode(read_library(TRAINED_ON)), batch)
    nothing = jax.tree.map(jnp.zeros_like, weights)
    means = (jnp.zeros(()), nothing, nothing)
    state = cell.initial_state(weights["cell"], jnp.zeros((batch, EMBEDDING)))
    for step in range(steps):
        start = step * length % (len(known) - length)
        now = slice(start, start + length)
        loss, weights, means, state = learn(weights, means, known[now], wanted[now], state)
        if (step + 1) % max(1, steps // 10) == 0:
            print(f"step {step + 1}: {loss * BITS:.5f} bits per character", flush=True)


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("module", type=Path, help="NAME_jax.py")
    for name, usual in (("hidden", 128), ("steps", 200), ("length", 64), ("batch", 16)):
        parser.add_argument(f"--{name}", type=int, default=usual, help=f"default {usual}")
    parser.add_argument("--devices", type=int, default=0, help="divide the processor into so many devices")
    given = parser.parse_args()
    if given.devices:
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={given.devices}"
    if given.devices and given.batch % given.devices:
        parser.error(f"{given.devices} devices cannot share a batch of {given.batch} alike")
    train(given.module, given.hidden, given.steps, given.length, given.batch)


if __name__ == "__main__":
    main()
