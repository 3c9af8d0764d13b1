"""`clip_gradient`: the module beside an autograd whose hooks clip, and proofs that notice a clip that is not right."""

from __future__ import annotations

import numpy as np
import pytest

from lstmgen.derivation.build import build_graph
from lstmgen.outputs.numpy.module import module_source
from lstmgen.pipeline import derive, execute, load, verify
from lstmgen.proofs.verify import verify as prove
from lstmgen.schedule.make import make_schedule

CELL = """
name: clipping
state: {h: H, c: H}
parameters: {W: [H, D], R: [H, H], b: H, p: H}
constants: {k: 0.05}
equations:
  c: 0.9 * clip_gradient(c[t-1], k) + tanh(clip_gradient(W @ x + R @ h[t-1] + b, 0.2))
  h: clip_gradient(p * c, 0.5) * tanh(clip_gradient(p * c, 0.3))
output: h
"""


def module_text(cell: str = CELL) -> str:
    return module_source(make_schedule(derive(load(cell))), verified=False)


def failed(text: str, cell: str = CELL) -> list[str]:
    """What the proofs of a module with this text find wrong."""
    derivation = derive(load(cell))
    verdict = prove(build_graph(load(cell)), derivation, execute(text, "clipping"))
    return [figure.what for figure in verdict.figures if not figure.passed]


def test_it_is_proved():
    verdict = verify(CELL)
    assert verdict.passed, "\n".join(verdict.lines())
    assert verdict.clipped == ("c", "h")
    assert any("half clipped" in figure.what for figure in verdict.figures)
    assert "gradients are clipped in c, h" in " ".join(verdict.lines())


@pytest.mark.parametrize(("right", "wrong", "found"), [
    ("_clipped(d_c_1, 0.05)", "_clipped(d_c_1, 0.06)", "params[W]"),  # another bound
    ("_clipped(d_c_1, 0.05)", "d_c_1", "params[W]"),  # no clip
    ("np.minimum(np.maximum(gradient, -bound), bound)", "np.minimum(gradient, bound)", "half clipped"),  # half a clip
    ("np.minimum(np.maximum(gradient, -bound), bound)", "gradient", "half clipped"),  # none at all
])
def test_the_proofs_notice_a_wrong_clip(right, wrong, found):
    text = module_text()
    assert not failed(text)
    assert right in text, text
    assert any(found in what for what in failed(text.replace(right, wrong)))


def test_calls_that_look_alike_clip_each_for_itself():
    twice = CELL.replace("0.5) * tanh(clip_gradient(p * c, 0.3))", "0.3) * tanh(clip_gradient(p * c, 0.3))")
    calls = [stage.name for stage in build_graph(load(twice)).stages if stage.function == "clip_gradient"]
    assert len(calls) == 4
    assert verify(twice).passed


@pytest.mark.parametrize("loss", ["loss: 0.5 * sum(square(h - goal))\ntargets: {goal: H}\n",
                                  "loss: 0.5 * sum(square(h - goal))\ntargets: {goal: H}\nloss_at: last\n"])
def test_with_a_loss(loss):
    verdict = verify(CELL + loss)
    assert verdict.passed, "\n".join(verdict.lines())


def test_an_autograd_whose_hooks_clip_gives_the_same():
    torch = pytest.importorskip("torch")
    module = execute(module_text(), "clipping")
    rng = np.random.default_rng(0)
    params = {name: rng.normal(size=array.shape) for name, array in module.init_params(3, 4, rng=0).items()}
    x, dy = rng.normal(size=(5, 2, 3)), 3 * rng.normal(size=(5, 2, 4))
    state = module.State(*rng.normal(size=(2, 2, 4)))
    dstate = module.State(*rng.normal(size=(2, 2, 4)))
    _, _, tape = module.forward(params, x, state=state)
    found = module.backward(params, tape, dy, dstate=dstate)

    def clip(value, bound):
        value = value * 1
        if value.requires_grad:
            value.register_hook(lambda gradient: gradient.clamp(-bound, bound))
        return value

    named = {name: torch.tensor(array, requires_grad=True) for name, array in module.named(params).items()}
    inputs, h, c = (torch.tensor(array, requires_grad=True) for array in (x, *state))
    start, total = (h, c), 0.0
    for step, now in enumerate(inputs):
        c = 0.9 * clip(c, 0.05) + torch.tanh(clip(now @ named["W"].T + h @ named["R"].T + named["b"], 0.2))
        h = clip(named["p"] * c, 0.5) * torch.tanh(clip(named["p"] * c, 0.3))
        total = total + (torch.tensor(dy[step]) * h).sum()
    total = total + (torch.tensor(dstate.h) * h).sum() + (torch.tensor(dstate.c) * c).sum()
    total.backward()
    for name, array in module.named(found.params).items():
        np.testing.assert_allclose(array, named[name].grad, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(found.x, inputs.grad, rtol=1e-11, atol=1e-12)
    for ours, theirs in zip(found.state, start):
        np.testing.assert_allclose(ours, theirs.grad, rtol=1e-11, atol=1e-12)
