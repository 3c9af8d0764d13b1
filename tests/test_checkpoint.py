"""`--checkpoint K`: less is kept, and the numbers stay what they are."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from test_module import backward, draw, made

from lstmgen.proofs import verify as proofs
from lstmgen.outputs.numpy.module import module_source
from lstmgen.pipeline import build, derive, execute, load
from lstmgen.schedule.make import make_schedule

LAST = """
name: last
inputs: {x: D, gap: []}
state: {h: H, c: H}
parameters: {W: [H, D], R: [H, H], V: [H, H], b: H, g: [], h_0: H}
equations:
  keep: exp(-softplus(g) * gap)
  c: tanh(W @ x + R @ h[t-1]) + keep * c[t-1]
  h: tanh(c)
  e: V @ (h - h[t-1]) + b * x_part
  x_part: keep
output: [h, keep]
initial: {h: h_0, c: 0.5}
targets: {target: H}
loss: sum((target - e) ** 2) + g * mean(c)
loss_at: LOSS_AT
range: {gap: [0, 2]}
"""

SEVERAL = """
name: several
inputs: {x: D, u: []}
state: {h: H, s: []}
parameters: {W: [H, D], R: [H, H], a: [], h_0: H, s_0: []}
equations:
  h: tanh(W @ x + R @ h[t-1] + u)
  s: a * s[t-1] + mean(h)
  y1: s * h
output: [h, s, y1]
initial: {h: h_0, s: s_0}
"""

# The loss reads an input, a gate of the loop, and parameters that nothing in time reads beside it.
READS_ALL = """
name: reads_all
inputs: {x: D, v: H}
state: {h: H}
parameters: {W: [H, D], R: [H, H], p: H, q: H, g: [], k: [2]}
equations:
  u: v + h[t-1]
  i: sigmoid(W @ x + R @ u)
  h: tanh(i * u + p)
  y: q * h
output: y
targets: {target: H}
loss: 0.5 * sum((target - y) ** 2) + dot(v, h) + sum(i * p) + 0.1 * sum(k ** 2) + 0.3 * g
loss_at: LOSS_AT
"""

CELLS = {
    "a loss that reads all": READS_ALL.replace("LOSS_AT", "every"),
    "one at the last step": READS_ALL.replace("LOSS_AT", "last"),
    "several outputs, learned start": SEVERAL,
    "a loss at every step": LAST.replace("LOSS_AT", "every"),
    "a loss at the last step": LAST.replace("LOSS_AT", "last"),
}


def module_of(schedule, steps, every=None):
    module = execute(module_source(schedule, verified=True, checkpoint=steps), schedule.graph.spec.name)
    if every:
        module._CHECKPOINT = every
    return module


def flat(grads):
    return [*grads.params.values(), *grads[1:-1], *grads.state]


def run(graph, module, params, arguments, state, dy, dstate):
    """Everything that comes out of a forward and a backward pass."""
    y, end, tape = module.forward(params, *arguments, state)
    outputs = tape.y if len(graph.outputs) > 1 else (tape.y,)
    return [np.asarray(y) if graph.loss else outputs[0], *outputs, *end,
            *flat(backward(graph, module, params, tape, dy, dstate))]


def same(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert np.shape(a) == np.shape(b) and np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12 * (1 + np.abs(b).max(initial=0)))


def test_every_spec_gives_the_same_numbers(spec_path):
    graph, plain, _ = made(spec_path)
    schedule = make_schedule(derive(load(spec_path)))
    for every in (1, 3, 7, 50):
        case = draw(graph, plain, steps=7, batch=2)
        same(run(graph, module_of(schedule, every), *case), run(graph, plain, *case))


@pytest.mark.parametrize("text", CELLS.values(), ids=CELLS)
def test_the_proofs_hold_across_checkpoints(text):
    schedule = make_schedule(derive(load(text)))
    for every in (None, 1, 2, 3):
        module = module_of(schedule, 100 if every else None, every)
        for prove in (proofs.meaning, proofs.complex_step, proofs.splitting):
            assert [str(figure) for figure in prove(schedule.graph, module) if not figure.passed] == []


@pytest.mark.parametrize("text", CELLS.values(), ids=CELLS)
def test_without_a_state_the_learned_start_learns(text):
    schedule = make_schedule(derive(load(text)))
    plain, cut = module_of(schedule, None), module_of(schedule, 2)
    params, arguments, _, dy, dstate = draw(schedule.graph, plain, steps=5, batch=3)
    same(run(schedule.graph, cut, params, arguments, None, dy, dstate),
         run(schedule.graph, plain, params, arguments, None, dy, dstate))


def test_no_steps_at_all():
    schedule = make_schedule(derive(load("peephole_lstm")))
    case = draw(schedule.graph, module_of(schedule, None), steps=0, batch=3)
    same(run(schedule.graph, module_of(schedule, 4), *case), run(schedule.graph, module_of(schedule, None), *case))


def test_the_tape_keeps_states_and_not_steps():
    schedule = make_schedule(derive(load("peephole_lstm")))
    module = module_of(schedule, 50)
    params = module.init_params(3, 4)
    _, _, tape = module.forward(params, np.ones((1000, 2, 3), np.float32))
    (x,), starts = tape.kept
    assert x.shape == (1000, 2, 3) and len(starts) == 20 and all(state.c.shape == (2, 4) for state in starts)


def test_the_state_that_was_given_may_be_written_to_afterwards():
    schedule = make_schedule(derive(load("gru")))
    module = module_of(schedule, 2)
    params, arguments, state, dy, dstate = draw(schedule.graph, module, steps=5, batch=2)
    expected = run(schedule.graph, module, params, arguments, state, dy, dstate)
    y, end, tape = module.forward(params, *arguments, state)
    state.h[...] = 0
    same([y, y, *end, *flat(module.backward(params, tape, dy, dstate))], expected)


@pytest.mark.parametrize("steps", [None, 100])
@pytest.mark.parametrize("text", CELLS.values(), ids=CELLS)
def test_the_proofs_hold_without_checks(text, steps):
    schedule = make_schedule(derive(load(text)))
    module = execute(module_source(schedule, verified=True, checkpoint=steps, bare=True), schedule.graph.spec.name)
    if steps:
        module._CHECKPOINT = 2
    assert not any("checked" in name for name in vars(module))
    for prove in (proofs.meaning, proofs.complex_step, proofs.splitting):
        assert [str(figure) for figure in prove(schedule.graph, module) if not figure.passed] == []


def test_a_bare_module_of_a_loss_at_the_last_step_takes_one_target():
    schedule = make_schedule(derive(load(CELLS["one at the last step"])))
    plain, bare = (execute(module_source(schedule, verified=True, bare=bare), "last") for bare in (False, True))
    params, arguments, state, _, _ = draw(schedule.graph, plain, steps=4, batch=2)
    *inputs, target = arguments
    loss, _, tape = bare.forward(params, *inputs, target[-1], bare.State(*state))
    assert loss == plain.forward(params, *arguments, state)[0]
    same(flat(bare.backward(params, tape)), flat(plain.backward(params, plain.forward(params, *arguments, state)[2])))


def test_the_command_builds_and_the_module_checks_itself(tmp_path):
    built = build("peephole_lstm", tmp_path, checkpoint=300)
    assert built.verdict.passed and "_CHECKPOINT = 300" in built.files[0].read_text()
    run = subprocess.run([sys.executable, "-I", str(built.files[0])], capture_output=True, text=True)
    assert run.returncode == 0 and "correct" in run.stdout, run.stdout + run.stderr
