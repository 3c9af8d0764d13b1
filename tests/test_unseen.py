"""Cells of no zoo, against a forward pass written by hand and torch's own differentiation.

Four states of different sizes, a matrix among them, that all read each other; softmax gating, learned
scalars, kinks, several inputs and outputs, learned starts, a loss at the last step.
"""

from __future__ import annotations

import numpy as np
import pytest

from lstmgen.outputs.numpy.module import module_source
from lstmgen.pipeline import derive, execute, load, verify
from lstmgen.schedule.make import make_schedule

torch = pytest.importorskip("torch")

TANGLE = """
name: tangle
dims: {D: input_size, H: hidden_size, K: key_size, M: memory_size, E: event_size}
inputs: {x: D, e: E, gap: []}
state: {h: H, M_t: [M, K], u: K, level: []}
constants: {leak: 0.2}
functions:
  squash(a): a / (1 + abs(a))
  soft(a, b): max(a, b) + log(1 + exp(-abs(a - b)))
parameters:
  W: [3*H, D + H]
  b: {shape: [3*H], init: 0.1}
  W_e: [K, E]
  R_u: [K, K]
  V_k: [K, H]
  V_q: [K, H]
  V_v: [M, H]
  P: [H, M]
  beta: {shape: [], init: 0.5}
  theta: []
  h_0: [H]
  M_0: [M, K]
  V_y: [E, H]
equations:
  g: W @ concat(x, h[t-1]) + b
  a: softmax(part(g, 0, 3) + level[t-1])
  r: sigmoid(part(g, 1, 3))
  n: squash(part(g, 2, 3) + P @ (M_t[t-1] @ u[t-1]))
  key: V_k @ (r * h[t-1])
  query: softmax(V_q @ n / sqrt(K))
  M_t: exp(-leak * gap) * M_t[t-1] + beta * outer(V_v @ n, key)
  u: soft(W_e @ e + R_u @ u[t-1], 0.1 * query + theta)
  h: r * h[t-1] + a * n + relu(P @ (M_t @ query) - 0.05) - stop_gradient(0.1 * n)
  level: clip(0.7 * level[t-1] + mean(h) + dot(u, key), -0.9, 0.9)
  y: V_y @ layer_norm(h) + where(gap > 0.3, level, beta) * sum(cumsum(h))
output: [y, M_t, h]
initial: {h: h_0, M_t: M_0, level: 0.25}
"""


def tangle(p, x, e, gap, h, M, u, level):
    """One step for a batch, as somebody with torch would write it."""
    H, K = h.shape[1], u.shape[1]
    g = torch.cat([x, h], 1) @ p["W"].T + p["b"]
    a = torch.softmax(g[:, :H] + level[:, None], 1)
    r = torch.sigmoid(g[:, H:2 * H])
    n = g[:, 2 * H:] + torch.einsum("bmk,bk->bm", M, u) @ p["P"].T
    n = n / (1 + n.abs())
    key = (r * h) @ p["V_k"].T
    query = torch.softmax(n @ p["V_q"].T / K**0.5, 1)
    written = torch.einsum("bm,bk->bmk", n @ p["V_v"].T, key)
    M = torch.exp(-0.2 * gap)[:, None, None] * M + p["beta"] * written
    u = torch.logaddexp(e @ p["W_e"].T + u @ p["R_u"].T, 0.1 * query + p["theta"])
    h = r * h + a * n + torch.relu(torch.einsum("bmk,bk->bm", M, query) @ p["P"].T - 0.05) - 0.1 * n.detach()
    level = torch.clamp(0.7 * level + h.mean(1) + (u * key).sum(1), -0.9, 0.9)
    normed = torch.nn.functional.layer_norm(h, (H,), eps=1e-5)
    chosen = torch.where(gap > 0.3, level, p["beta"])
    y = normed @ p["V_y"].T + (chosen * torch.cumsum(h, 1).sum(1))[:, None]
    return y, h, M, u, level


@pytest.mark.parametrize("learned", [False, True])
def test_a_tangle_of_four_states(learned):
    scheduled = make_schedule(derive(load(TANGLE)))
    m = execute(module_source(scheduled, True), "tangle")
    rng = np.random.default_rng(5)
    T, B, sizes = 4, 3, {"input_size": 3, "hidden_size": 5, "key_size": 4, "memory_size": 6, "event_size": 2}
    D, H, K, M, E = sizes.values()
    params = m.init_params(**sizes, rng=1, dtype=np.float64)
    for view in m.named(params).values():
        view[...] = rng.uniform(-1, 1, view.shape)
    x, e, gap = rng.normal(size=(T, B, D)), rng.normal(size=(T, B, E)), rng.uniform(0, 1, (T, B))
    start = None if learned else m.State(
        rng.normal(size=(B, H)), rng.normal(size=(B, M, K)), rng.normal(size=(B, K)), rng.uniform(-0.5, 0.5, B))
    out, end, tape = m.forward(params, x, e, gap, state=start)
    dy = m.Outputs(*(rng.normal(size=array.shape) for array in out))
    dstate = m.State(*(rng.normal(size=array.shape) for array in end))
    grads = m.backward(params, tape, dy, dstate)

    p = {name: torch.tensor(np.array(view), requires_grad=True) for name, view in m.named(params).items()}
    inputs = [torch.tensor(array, requires_grad=True) for array in (x, e, gap)]
    if learned:
        state = [p["h_0"].expand(B, H), p["M_0"].expand(B, M, K), torch.zeros(B, K, dtype=torch.float64),
                 torch.full((B,), 0.25, dtype=torch.float64)]
    else:
        state = [torch.tensor(array, requires_grad=True) for array in start]
    first, objective = state, 0.0
    for t in range(T):
        y, *state = tangle(p, *(array[t] for array in inputs), *state)
        for name, value in (("y", y), ("M_t", state[1]), ("h", state[0])):
            np.testing.assert_allclose(getattr(out, name)[t], value.detach(), rtol=1e-10, atol=1e-12)
            objective = objective + (torch.tensor(getattr(dy, name)[t]) * value).sum()
    for weights, value, ours in zip(dstate, state, end):
        np.testing.assert_allclose(ours, value.detach(), rtol=1e-10, atol=1e-12)
        objective = objective + (torch.tensor(weights) * value).sum()
    objective.backward()
    for name, view in m.named(grads.params).items():
        expected = p[name].grad if p[name].grad is not None else torch.zeros_like(p[name])
        np.testing.assert_allclose(view, expected, rtol=1e-9, atol=1e-11, err_msg=name)
    for name, array in zip(("x", "e", "gap"), inputs):
        np.testing.assert_allclose(getattr(grads, name), array.grad, rtol=1e-9, atol=1e-11, err_msg=name)
    if not learned:
        for name, array, ours in zip(m.State._fields, first, grads.state):
            np.testing.assert_allclose(ours, array.grad, rtol=1e-9, atol=1e-11, err_msg=name)


def test_the_tangle_passes_its_proofs():
    verdict = verify(TANGLE)
    assert verdict.passed, "\n".join(verdict.lines())


def test_a_loss_at_the_last_step_with_a_scalar_state():
    text = """
name: counter
dims: {D: input_size, H: hidden_size}
state: {s: [], h: H}
parameters: {W: [H, D], r: [H], w: [H], mu: [], s_0: []}
equations:
  h: silu(W @ x + r * s[t-1]) - elu(h[t-1] * mu)
  s: gelu(dot(w, h)) + softplus(s[t-1]) - hard_sigmoid(s[t-1])
output: s
initial: {s: s_0}
targets: {goal: []}
loss: square(s - goal) + 0.1 * sum(abs(h))
loss_at: last
"""
    m = execute(module_source(make_schedule(derive(load(text))), True), "counter")
    rng = np.random.default_rng(2)
    params = {name: rng.normal(size=np.shape(value)) for name, value in m.init_params(3, 4).items()}
    x, goal = rng.normal(size=(5, 2, 3)), rng.normal(size=(2,))
    loss, end, tape = m.forward(params, x, goal)
    grads = m.backward(params, tape)
    p = {name: torch.tensor(np.array(value), requires_grad=True) for name, value in m.named(params).items()}
    s, h = p["s_0"].expand(2), torch.zeros(2, 4, dtype=torch.float64)
    functional = torch.nn.functional
    for step in torch.tensor(x):
        h = functional.silu(step @ p["W"].T + p["r"] * s[:, None]) - functional.elu(h * p["mu"])
        s = functional.gelu(h @ p["w"], approximate="tanh") + functional.softplus(s) - torch.clamp(0.2 * s + 0.5, 0, 1)
    expected = ((s - torch.tensor(goal)) ** 2 + 0.1 * h.abs().sum(1)).sum()
    expected.backward()
    np.testing.assert_allclose(loss, expected.item(), rtol=1e-12)
    np.testing.assert_allclose(end.s, s.detach(), rtol=1e-12)
    for name, view in m.named(grads.params).items():
        np.testing.assert_allclose(view, p[name].grad, rtol=1e-9, atol=1e-11, err_msg=name)
