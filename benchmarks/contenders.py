"""One contender in a process of its own: `python benchmarks/contenders.py NAME`.

It reads a line of JSON for each task and answers with one: {"load": FILE} prepares a case and returns how far its
gradients are from those in the file; {"burst": SECONDS} runs forward and backward once unmeasured, then again and
again, at least twice, and returns the seconds that each run took.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory, mkdtemp
from types import SimpleNamespace

import numpy as np
from cells import CELLS, Cell, stacked

from lstmgen.pipeline import derive, execute, load
from lstmgen.outputs.numpy.module import module_source
from lstmgen.schedule.make import make_schedule

Arrays = Mapping[str, np.ndarray]
Run = Callable[[], object]


def module_of(cell: str):
    """The generated module."""
    return execute(module_source(make_schedule(derive(load(cell))), verified=False), cell)


def c_module_of(cell: str):
    """The same in C; it is compiled unless the cache has it."""
    from lstmgen.outputs.c.target import TARGET

    schedule = make_schedule(derive(load(cell)))
    with TemporaryDirectory() as folder:
        for file, text in TARGET.texts(schedule, module_of(cell), True, None).items():
            (Path(folder) / file).write_text(text, encoding="utf-8")
        return TARGET.load(Path(folder), cell)


def lstmgen(cell: Cell, p: Arrays, x, dy) -> tuple[Run, Callable]:
    return _module(module_of(cell.spec), cell, p, x, dy)


def in_c(cell: Cell, p: Arrays, x, dy) -> tuple[Run, Callable]:
    return _module(c_module_of(cell.spec), cell, p, x, dy)


def _module(m, cell: Cell, p: Arrays, x, dy) -> tuple[Run, Callable]:
    params = m.init_params(x.shape[-1], dy.shape[-1], dtype=x.dtype)
    for name, array in by_name(cell, p).items():
        m.named(params)[name][...] = array

    def run():
        _, _, tape = m.forward(params, x)
        return m.backward(params, tape, dy)

    def told(grads):
        return stacked(cell, m.named(grads.params)) | {"x": grads.x}

    return run, told


def floor(cell: Cell, p: Arrays, x, dy) -> tuple[Run, Callable]:
    """The matrix products alone: none of them can be left out, and nothing else is done."""
    steps, batch, _ = x.shape
    W, R = p["W"], p["R"]
    h, z, d = dy, np.empty((steps, batch, len(R)), x.dtype), np.ones((steps, batch, len(R)), x.dtype)
    right = np.ascontiguousarray(R.T) if batch > 1 else R.T
    flat, small, back = x.reshape(-1, x.shape[-1]), np.empty((batch, len(R)), x.dtype), np.empty_like(dy[0])
    d_flat, h_flat, z_flat = (array.reshape(-1, array.shape[-1]) for array in (d, h, z))

    def run():
        np.matmul(flat, W.T, out=z_flat)
        for t in range(steps):
            np.matmul(h[t], right, out=small)
        for t in range(steps):
            np.matmul(d[t], R, out=back)
        return d_flat @ W, d_flat.T @ flat, d_flat.T @ h_flat

    return run, lambda _: {}


def torch_products(cell: Cell, p: Arrays, x, dy) -> tuple[Run, Callable]:
    """The same products by PyTorch's BLAS: what another library gains before anything else is computed."""
    import torch

    steps, batch, _ = x.shape
    x, h, W, R = map(torch.from_numpy, (x, dy, p["W"], p["R"]))
    flat, h_flat = x.flatten(0, 1), h.flatten(0, 1)
    d = torch.ones((steps, batch, len(R)), dtype=x.dtype)
    d_flat, small, back = d.flatten(0, 1), torch.empty_like(d[0]), torch.empty_like(h[0])

    def run():
        torch.matmul(flat, W.T)
        for t in range(steps):
            torch.matmul(h[t], R.T, out=small)
        for t in range(steps):
            torch.matmul(d[t], R, out=back)
        return d_flat @ W, d_flat.T @ flat, d_flat.T @ h_flat

    return run, lambda _: {}


def autograd(cell: Cell, p: Arrays, x, dy) -> tuple[Run, Callable]:
    import autograd
    import autograd.numpy as anp

    def sigmoid(a):
        return 0.5 * (anp.tanh(0.5 * a) + 1)

    xp = SimpleNamespace(sigmoid=sigmoid, tanh=anp.tanh, exp=anp.exp, maximum=anp.maximum,
                         log_sigmoid=lambda a: -anp.logaddexp(0, -a))

    def loss(arguments):
        p, x = arguments
        z = anp.dot(x, p["W"].T) + p["b"]
        state, total = _zeros(cell, dy), 0.0
        for t in range(len(dy)):
            state = cell.step(xp, z[t], p, state)
            total = total + anp.sum(dy[t] * state[0])
        return total

    gradient = autograd.grad(loss)
    return lambda: gradient((dict(p), x)), lambda grads: grads[0] | {"x": grads[1]}


def _torch(cell: Cell, p: Arrays, x, dy, step) -> tuple[Run, Callable]:
    import torch

    p = {name: torch.tensor(array, requires_grad=True) for name, array in p.items()}
    x, dy = torch.tensor(x, requires_grad=True), torch.tensor(dy)

    def run():
        z = x @ p["W"].T + p["b"]
        state = tuple(torch.zeros_like(dy[0]) for _ in range(cell.states))
        outputs = []
        for z_t in z.unbind():  # z[t] would send back an array of all steps for each of them
            state = step(torch_functions(), z_t, p, state)
            outputs.append(state[0])
        return torch.autograd.grad((torch.stack(outputs) * dy).sum(), [*p.values(), x])

    return run, lambda grads: dict(zip([*p, "x"], (grad.numpy() for grad in grads)))


def torch_functions():
    import torch

    return SimpleNamespace(sigmoid=torch.sigmoid, tanh=torch.tanh, exp=torch.exp, maximum=torch.maximum,
                           log_sigmoid=torch.nn.functional.logsigmoid)


def torch_eager(cell: Cell, p: Arrays, x, dy) -> tuple[Run, Callable]:
    return _torch(cell, p, x, dy, cell.step)


def torch_compile(cell: Cell, p: Arrays, x, dy) -> tuple[Run, Callable]:
    """One step compiled: to compile all steps as one program takes minutes already at T = 20."""
    import torch

    torch._dynamo.reset()
    xp = torch_functions()
    compiled = torch.compile(lambda z, p, state: cell.step(xp, z, p, state), dynamic=False)
    return _torch(cell, p, x, dy, lambda _, z, p, state: compiled(z, p, state))


def torch_nn(cell: Cell, p: Arrays, x, dy) -> tuple[Run, Callable]:
    """torch.nn.LSTM and GRU; they have no peepholes and no sLSTM."""
    import torch

    size, hidden = x.shape[-1], dy.shape[-1]
    network = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell.spec](size, hidden, dtype=torch.tensor(x).dtype)
    second = np.zeros_like(p["b"])
    if cell.spec == "gru":
        second[2 * hidden :] = p["c_n"]
    with torch.no_grad():
        for name, array in zip(("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"),
                               (p["W"], p["R"], p["b"], second)):
            getattr(network, name).copy_(torch.tensor(array))
    x, dy = torch.tensor(x, requires_grad=True), torch.tensor(dy)
    wanted = [*network.parameters(), x]

    def run():
        y, _ = network(x)
        return torch.autograd.grad((y * dy).sum(), wanted)

    def told(grads):
        W, R, b, second, x = (grad.numpy() for grad in grads)
        return {"W": W, "R": R, "b": b, "x": x} | ({"c_n": second[2 * hidden :]} if cell.spec == "gru" else {})

    return run, told


def layer(cell: Cell, p: Arrays, x, dy, *others: str) -> tuple[Run, Callable]:
    """The PyTorch output, in PyTorch operations; with "c" through the C beside it."""
    import torch

    m = import_target(cell.spec, "torch", *others)
    network = m.Layer(x.shape[-1], dy.shape[-1], dtype=torch.tensor(x).dtype)
    params = network._params(network._names[0])
    with torch.no_grad():
        for name, array in by_name(cell, p).items():
            m.named(params)[name].copy_(torch.tensor(array))
    x, dy = torch.tensor(x, requires_grad=True), torch.tensor(dy)
    wanted = [*network.parameters(), x]

    def run():
        y, _ = network(x)
        return torch.autograd.grad((y * dy).sum(), wanted)

    def told(grads):
        *of_params, of_x = grads
        named = m.named(dict(zip(params, of_params)))
        return stacked(cell, {name: grad.numpy() for name, grad in named.items()}) | {"x": of_x.numpy()}

    return run, told


def layer_in_c(cell: Cell, p: Arrays, x, dy) -> tuple[Run, Callable]:
    return layer(cell, p, x, dy, "c")


def import_target(name: str, *targets: str):
    """The file of the first of the targets, with those of the others beside it."""
    from lstmgen.outputs.targets import import_file, target

    schedule = make_schedule(derive(load(name)))
    folder = Path(mkdtemp(prefix="lstmgen-bench-"))
    for each in targets:
        for file, text in target(each).texts(schedule, module_of(name), True, None).items():
            (folder / file).write_text(text, encoding="utf-8")
    module = import_file(folder / f"{name}_{targets[0]}.py")
    if "c" in targets:
        assert module._c_is_there()  # it is compiled and read now
    rmtree(folder)
    return module


def jax_module(cell: Cell, p: Arrays, x, dy) -> tuple[Run, Callable]:
    """The JAX output."""
    gradient, arguments = jax_module_gradient(cell, p, x, dy)
    return _in_jax(gradient, arguments)


def jax_module_gradient(cell: Cell, p: Arrays, x, dy) -> tuple[Callable, tuple]:
    """A compiled gradient, and its arguments."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", x.dtype == np.float64)
    m = import_target(cell.spec, "jax")
    params = m.stored({name: jnp.asarray(array) for name, array in by_name(cell, p).items()})

    def loss(params, x, dy):
        return (m.forward(params, x)[0] * dy).sum()

    def gradient(params, x, dy):
        grads, d_x = jax.grad(loss, argnums=(0, 1))(params, x, dy)
        named = m.named(grads)
        whole = {kind: jnp.concatenate([named[f"{kind}_{gate}"] for gate in cell.gates]) for kind in "WRb"}
        return whole | {name: named[name] for name in cell.others}, d_x

    return jax.jit(gradient), (params, jnp.asarray(x), jnp.asarray(dy))


def by_name(cell: Cell, p: Arrays) -> dict[str, np.ndarray]:
    """The parameters under the names of the spec."""
    named = {f"{kind}_{gate}": rows for kind in "WRb" for gate, rows in zip(cell.gates, np.split(p[kind], len(cell.gates)))}
    return named | {name: p[name] for name in cell.others}


def jax(cell: Cell, p: Arrays, x, dy) -> tuple[Run, Callable]:
    gradient, arguments = jax_gradient(cell, p, x, dy)
    return _in_jax(gradient, arguments)


def _in_jax(gradient: Callable, arguments: tuple) -> tuple[Run, Callable]:
    import jax

    return (lambda: jax.block_until_ready(gradient(*arguments)),
            lambda grads: {name: np.asarray(grad) for name, grad in (grads[0] | {"x": grads[1]}).items()})


def jax_gradient(cell: Cell, p: Arrays, x, dy) -> tuple[Callable, tuple]:
    """The written-out scan, differentiated by JAX: a compiled gradient, and its arguments."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", x.dtype == np.float64)
    xp = SimpleNamespace(sigmoid=jax.nn.sigmoid, tanh=jnp.tanh, exp=jnp.exp, maximum=jnp.maximum,
                         log_sigmoid=jax.nn.log_sigmoid)
    start = tuple(jnp.asarray(array) for array in _zeros(cell, dy))
    p, x, dy = {name: jnp.asarray(array) for name, array in p.items()}, jnp.asarray(x), jnp.asarray(dy)

    def loss(p, x, dy):
        def one(state, z):
            state = cell.step(xp, z, p, state)
            return state, state[0]

        _, y = jax.lax.scan(one, start, x @ p["W"].T + p["b"])
        return (y * dy).sum()

    return jax.jit(jax.grad(loss, argnums=(0, 1))), (p, x, dy)


def _zeros(cell: Cell, dy: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(np.zeros_like(dy[0]) for _ in range(cell.states))


CONTENDERS: dict[str, Callable] = {
    "lstmgen": lstmgen, "C": in_c, "floor": floor, "torch products": torch_products, "torch eager": torch_eager,
    "torch.compile": torch_compile, "torch.nn": torch_nn, "jax": jax, "autograd": autograd,
}


# The PyTorch and JAX outputs, for frameworks.py.
OUTPUTS: dict[str, Callable] = {"Layer": layer, "Layer in C": layer_in_c, "jax module": jax_module}


FLOORS = ("floor", "torch products")  # that compute no gradient


def difference(found: Arrays, expected: Arrays) -> float:
    """The largest difference of any gradient, relative to its largest entry.

    A gradient may be zero, as that of R is over a single step from a zero state. Then what was found counts as it is.
    """
    if found.keys() != expected.keys():
        raise KeyError(f"gradients of {sorted(found)}, expected of {sorted(expected)}")
    # np.max, since Python's max passes over NaN
    return float(np.max([abs(found[name] - expected[name]).max() / (abs(expected[name]).max() or 1) for name in found]))


def main() -> None:
    make = (CONTENDERS | OUTPUTS)[sys.argv[1]]
    answer, run = sys.stdout, None
    sys.stdout = sys.stderr  # what libraries print is no answer
    for line in sys.stdin:
        task = json.loads(line)
        start = time.perf_counter()
        if "load" in task:
            with np.load(task["load"]) as file:
                case = dict(file)
            cell = CELLS[str(case.pop("cell"))]
            expected = {name[2:]: case.pop(name) for name in list(case) if name.startswith("d_") and name != "dy"}
            x, dy = case.pop("x"), case.pop("dy")
            run, told = make(cell, case, x, dy)
            result = told(run())
            error = 0.0 if sys.argv[1] in FLOORS else difference(result, expected)
            told_back = {"error": error, "seconds": time.perf_counter() - start}
        else:
            times = []
            run()  # the first after the others' turn finds cold caches, and took up to twice as long
            while len(times) < 2 or time.perf_counter() - start < task["burst"]:
                begun = time.perf_counter()
                run()
                times.append(time.perf_counter() - begun)
            told_back = {"times": times}
        print(json.dumps(told_back), file=answer, flush=True)


if __name__ == "__main__":
    main()
