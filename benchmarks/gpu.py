"""The PyTorch and JAX outputs on a GPU: `make gpu`. First their proofs for every cell, then times.

Where PyTorch finds no GPU, it says so and does nothing. JAX takes part if its own build has one.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from types import SimpleNamespace

from cells import CELLS

from lstmgen.outputs.numpy.module import module_source
from lstmgen.outputs.targets import target
from lstmgen.outputs.torch.module import torch_source
from lstmgen.pipeline import derive, execute, load
from lstmgen.proofs.verify import verify_target
from lstmgen.resources import packaged_specs
from lstmgen.schedule.make import make_schedule

STEPS, BATCH, HIDDEN, HEADS = 1024, 16, 768, 12  # 768 units with one recurrent matrix; then 12 heads of 64, each with its own
FAR = {"float32": 1e-3, "bfloat16": 0.1}  # how far gradients may be from one another, relative
Run = Callable[[], list]


def say(what: str) -> None:
    print(f"{'gpu':<12} {what}", flush=True)


# ---------------------------------------------------------------- proofs


def prove(name: str, device: str, specs: Sequence[Path]) -> Iterator[tuple[str, float, bool]]:
    """For each cell the worst figure of the target's proofs on a device, and whether all of them hold."""
    made = target(name)
    for path in specs:
        schedule = make_schedule(derive(load(path)))
        reference = execute(module_source(schedule, verified=False), path.stem)
        with TemporaryDirectory() as folder:
            for file, text in made.texts(schedule, reference, True, None).items():
                (Path(folder) / file).write_text(text, encoding="utf-8")
            module = made.load(Path(folder), path.stem)
        module.device = device
        figures = verify_target(schedule.graph, module, reference)
        yield path.stem, max(figure.error for figure in figures), all(figure.passed for figure in figures)


def prove_all(name: str, device: str) -> bool:
    wrong, worst = [], 0.0
    for cell, error, holds in prove(name, device, packaged_specs()):
        worst = max(worst, error)
        if not holds:
            wrong.append(f"{cell} ({error:.1e})")
    say(f"{name}: {len(packaged_specs())} cells, worst error {worst:.1e}" + (f"; WRONG: {', '.join(wrong)}" if wrong else ""))
    return not wrong


# ---------------------------------------------------------------- times


def spec_of_heads(heads: int) -> str:
    """An LSTM whose recurrent matrices consist of blocks: each head reads its own part of h alone."""
    lines = ["name: lstm_of_heads", "dims: {D: input_size, G: head_size}", "inputs: {x: D}",
             f"state: {{h: '{heads}*G', c: '{heads}*G'}}", "parameters:"]
    for gate in "zifo":
        lines.append(f"  W_{gate}: ['{heads}*G', D]")
    for gate in "zifo":
        lines += [f"  R_{gate}{head}: [G, G]" for head in range(heads)]
    lines += [f"  b_{gate}: ['{heads}*G']" for gate in "zifo"] + ["equations:"]
    for gate in "zifo":
        blocks = ", ".join(f"R_{gate}{head} @ part(h[t-1], {head}, {heads})" for head in range(heads))
        function = "tanh" if gate == "z" else "sigmoid"
        lines.append(f"  {gate}: {function}(W_{gate} @ x + concat({blocks}) + b_{gate})")
    return "\n".join([*lines, "  c: c[t-1] * f + z * i", "  h: o * tanh(c)", "output: h"]) + "\n"


class Times:
    """One size, on one device: each contender's gradients are compared before its time counts."""

    def __init__(self, device: str, dtype: str, steps: int, batch: int, hidden: int, heads: int = 1):
        import torch

        self.torch, self.device, self.heads = torch, device, heads
        text = spec_of_heads(heads) if heads > 1 else "name: lstm\ncell: lstm\n"
        self.module = execute(torch_source(make_schedule(derive(load(text))), verified=False), "cell")
        torch.manual_seed(0)
        kind = {"device": device, "dtype": getattr(torch, dtype)}
        self.layer = self.module.Layer(hidden, hidden // heads, **kind)
        self.x = torch.randn(steps, batch, hidden, **kind).requires_grad_()
        self.dy = torch.randn(steps, batch, hidden, **kind)
        self.far = FAR[dtype]

    def contenders(self) -> dict[str, Callable[[], Run]]:
        """By name; each is prepared when it is called."""
        torch = self.torch
        found = {"lstmgen": self.ours, "eager": lambda: self.by_hand(self.step), "torch.compile": self.compiled}
        if self.heads == 1:
            found["nn.LSTM"] = self.library
        if torch.device(self.device).type == "cuda":
            found |= {f"{name}, CUDA graph": lambda make=found[name]: self.graphed(make()) for name in ("lstmgen", "eager")}
        return found

    def gradients(self, y, params) -> list:
        return self.torch.autograd.grad(y, [self.x, *params], self.dy)

    def ours(self) -> Run:
        return lambda: self.gradients(self.layer(self.x)[0], self.layer.parameters())

    def library(self) -> Run:
        from lstmgen.weights import from_torch

        theirs = self.torch.nn.LSTM(self.x.shape[-1], self.dy.shape[-1], device=self.device, dtype=self.x.dtype)
        self.layer.load_numpy(from_torch("lstm", theirs.state_dict()))  # our numbers are theirs from here on
        return lambda: self.gradients(theirs(self.x)[0], theirs.parameters())

    def compiled(self) -> Run:
        """One step compiled: to compile all steps as one program takes far too long."""
        return self.by_hand(self.torch.compile(self.step, dynamic=False))

    def by_hand(self, step: Callable) -> Run:
        """The cell written out, the input's products hoisted, under autograd."""
        torch, heads = self.torch, self.heads
        named = {name: value.detach() for name, value in self.module.named(self.layer._params(self.layer._names[0])).items()}
        p = {kind: torch.cat([named[f"{kind}_{gate}"] for gate in "ifzo"]) for kind in "Wb"}
        if heads == 1:
            p["R"] = torch.cat([named[f"R_{gate}"] for gate in "ifzo"])
        else:  # (heads, G, 4 * G)
            p["R"] = torch.stack([torch.cat([named[f"R_{gate}{head}"] for gate in "ifzo"]).T for head in range(heads)])
        p = {name: value.clone().requires_grad_() for name, value in p.items()}
        zero = torch.zeros_like(self.dy[0])

        def run():
            state, outputs = (zero, zero), []
            for z in (self.x @ p["W"].T + p["b"]).unbind():
                state = step(z, p, state)
                outputs.append(state[0])
            return self.gradients(torch.stack(outputs), p.values())

        return run

    def step(self, z, p, state):
        torch = self.torch
        if self.heads == 1:
            return CELLS["lstm"].step(SimpleNamespace(sigmoid=torch.sigmoid, tanh=torch.tanh), z, p, state)
        (h, c), batch = state, len(z)
        heads = h.view(batch, self.heads, -1).transpose(0, 1)
        inside = torch.bmm(heads, p["R"]).view(self.heads, batch, 4, -1).permute(1, 2, 0, 3)  # batch, gate, head, unit
        i, f, z, o = (z.view(batch, 4, self.heads, -1) + inside).flatten(2).unbind(1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(z)
        return torch.sigmoid(o) * torch.tanh(c), c

    def graphed(self, run: Run) -> Run:
        """Forward and backward as one CUDA graph: no time goes into starting kernels."""
        cuda = self.torch.cuda
        side = cuda.Stream()
        side.wait_stream(cuda.current_stream())
        with cuda.stream(side):
            for _ in range(3):
                run()
        cuda.current_stream().wait_stream(side)
        graph = cuda.CUDAGraph()
        with cuda.graph(graph):
            made = run()

        def again():
            graph.replay()
            return made

        return again

    def wait(self) -> None:
        if self.torch.device(self.device).type == "cuda":
            self.torch.cuda.synchronize()

    def difference(self, found: list, expected: list) -> float:
        """Of the gradients at x, relative."""
        return float((found[0] - expected[0]).float().abs().max() / expected[0].float().abs().max())

    def measure(self, rounds: int = 5) -> dict[str, float | str]:
        """Milliseconds of forward and backward; or why there are none."""
        makers, found = self.contenders(), {}
        makers = {name: makers[name] for name in sorted(makers, key=lambda name: name != "nn.LSTM")}  # it sets the weights
        for name, make in makers.items():
            try:
                run = make()
                error = self.difference(run(), self.ours()())
                if not error <= self.far:
                    found[name] = f"other gradients ({error:.1e})"
                    continue
                times = []
                for _ in range(rounds):
                    self.wait()
                    begun = time.perf_counter()
                    run()
                    self.wait()
                    times.append(1e3 * (time.perf_counter() - begun))
                found[name] = median(times)
            except RuntimeError as error:  # out of memory, or no graph of it
                found[name] = str(error).split("\n")[0][:60]
        return found


def show_times(device: str) -> None:
    for heads in (1, HEADS):
        for dtype in ("float32", "bfloat16"):
            say(f"T {STEPS}, B {BATCH}, {heads} x {HIDDEN // heads}, {dtype}: forward and backward, milliseconds")
            for name, told in Times(device, dtype, STEPS, BATCH, HIDDEN, heads).measure().items():
                say(f"  {name:<22} {told if isinstance(told, str) else f'{told:9.2f}'}")


def main() -> None:
    argparse.ArgumentParser(description="Proofs and times of the PyTorch and JAX outputs on a GPU.").parse_args()
    if importlib.util.find_spec("torch") is None:
        return say("PyTorch is not installed, so nothing was run")
    import torch

    if not torch.cuda.is_available():
        return say("PyTorch finds no GPU here, so nothing was run")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    say(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}")
    holds = prove_all("torch", "cuda")
    if importlib.util.find_spec("jax"):
        import jax

        if jax.default_backend() == "gpu":
            holds &= prove_all("jax", "gpu")
        else:
            say("JAX finds no GPU here, so its output was not run")
    show_times("cuda")
    raise SystemExit(not holds)


if __name__ == "__main__":
    main()
