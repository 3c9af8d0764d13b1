"""Branches that change no gradient anywhere are left out, and no others are."""

from __future__ import annotations

import pytest

from lstmgen.derivation.chain import derive as everything
from lstmgen.derivation.build import build_graph
from lstmgen.pipeline import derive, load, verify
from lstmgen.resources import packaged_specs

RENORMALISED = """
name: renormalised
state: {h: H}
parameters: {W: [H, D], R: [H, H], q: H}
equations:
  s: softmax(W @ x)
  r: s / sum(s)
  n: layer_norm(R @ h[t-1])
  h: tanh(r - mean(r) + q * (n - mean(n)))
output: h
"""

SHIFTED = """
name: shifted
state: {h: H, m: []}
parameters: {W: [H, D], R: [H, H], a: [], b: []}
equations:
  s: sum(softmax(R @ h[t-1]))
  m: tanh(m[t-1] + a)
  h: softmax(W @ x + m + b * s)
output: h
"""

# The other factor of q, and what V is multiplied by, are nought.
NOUGHTS = """
name: noughts
state: {h: H}
parameters: {W: [H, D], R: [H, H], V: [H, H], q: []}
equations:
  n: layer_norm(R @ h[t-1])
  d: h[t-1] - h[t-1]
  h: tanh(W @ x + V @ d + q * mean(n) + 0.5 * n)
output: h
"""

FORGOTTEN = """
name: forgotten
state: {h: H, n: H}
parameters: {W: [H, D], R: [H, H], p: H}
equations:
  n: 0 * p + 0 * n[t-1] + 1
  h: tanh(W @ x + R @ h[t-1]) * n + 0.1 * n[t-1]
output: [h, n]
"""

# Nothing reads what n held at the start, though a parameter says what it was.
UNHEARD_START = """
name: unheard_start
state: {h: H, n: H}
parameters: {W: [H, D], R: [H, H], h_0: H, n_0: H}
equations:
  n: tanh(W @ x) + 0 * n[t-1]
  h: tanh(R @ h[t-1] + n)
output: h
initial: {h: h_0, n: n_0}
"""

# What h and n held at the start is gone after two steps.
DELAY_LINE = """
name: delay_line
state: {h: H, n: H}
parameters: {W: [H, D], h_0: H}
equations:
  h: tanh(W @ x)
  n: sin(h[t-1]) + stop_gradient(n[t-1])
output: h
initial: {h: h_0}
"""

# floor(a / b) is 0 at many points, and max closed for one of its sides; both branches are needed elsewhere.
CHOICES = """
name: choices
state: {h: H}
parameters: {W: [H, D], b: H, p: H}
range: {h: [0.5, 2]}
equations:
  m: mod(h[t-1], 1.2 + sigmoid(b))
  r: relu(p) * relu(W @ x)
  h: 1 + sigmoid(m + r)
output: h
"""

# A gate that is nearly a step: flat to the last digit nearly everywhere, and not without a slope for all that.
STEEP = """
name: steep
state: {h: H}
parameters: {W: [H, D], R: [H, H], b: H}
equations:
  k: sigmoid(10000 * (W @ x + b))
  h: k * tanh(R @ h[t-1] + b)
output: h
"""

# Sixty times a slope of a tenth: what is left is beyond all digits, and it is not nothing.
DEEP = "name: deep\nstate: {h: H}\nparameters: {W: [H, D], R: [H, H]}\nequations:\n  a0: W @ x + R @ h[t-1]\n" + "".join(
    f"  a{stage}: tanh(a{stage - 1} + 1.8)\n" for stage in range(1, 61)) + "  h: a60\noutput: h\n"

LAST_LOSS = """
name: last_loss
inputs: {x: H}
state: {h: H}
parameters: {W: [H, H], p: H}
equations:
  h: tanh(0.001 * h[t-1] + W @ x) * p
targets: {goal: H}
loss: sum((h - goal) ** 2)
loss_at: last
output: h
"""


def branches(derivation) -> set[tuple[str, str, int]]:
    return {(fork.target, fork.reader, fork.lag) for fork in derivation.contributions()}


@pytest.mark.parametrize("text, gone", [
    (RENORMALISED, {("sum_s", "r"), ("s", "sum_s"), ("mean_r", "h_pre"), ("r", "mean_r"), ("mean_n", "h_pre"),
                    ("n", "mean_n")}),
    (SHIFTED, {("m", "h_pre"), ("b", "h_pre"), ("s", "h_pre")}),
    (NOUGHTS, {("q", "h_pre"), ("V", "h_pre"), ("n", "mean_n"), ("mean_n", "h_pre")}),
    (DELAY_LINE, set()),
    (CHOICES, set()),
    (STEEP, set()),
    (STEEP.replace("sigmoid", "softmax"), set()),
    (STEEP.replace("sigmoid(10000 * (", "tanh(300 + ("), set()),
    (DEEP, set()),
    (LAST_LOSS, set()),
], ids=lambda value: "" if isinstance(value, set) else value.split()[1])
def test_what_is_left_out(text, gone):
    graph = build_graph(load(text))
    whole, short = branches(everything(graph)), branches(derive(graph))
    assert short <= whole
    missing = {(target, reader) for target, reader, _ in whole - short}
    assert gone <= missing and (gone or not missing)


@pytest.mark.parametrize("text", [RENORMALISED, SHIFTED, NOUGHTS, FORGOTTEN, UNHEARD_START, DELAY_LINE, CHOICES, LAST_LOSS],
                         ids=lambda text: text.split()[1])
def test_what_remains_passes_every_proof(text):
    verdict = verify(text)
    assert verdict.passed, "\n".join(verdict.lines())


def test_what_no_proof_can_see_is_refused_with_the_reason():
    verdict = verify(STEEP)
    assert not verdict.passed
    assert verdict.saturated == ("k",)
    assert verdict.lines()[-1].startswith("saturated at the points of the proofs: k; 'range:'")
    verdict = verify(f"{STEEP}range: {{W: [-1e-4, 1e-4], b: [-1e-4, 1e-4]}}\n")
    assert verdict.passed and verdict.saturated == ()


def test_what_is_left_out_is_told_as_often_as_one_asks():
    derivation = derive(load(RENORMALISED))
    assert [fork.reader for fork in derivation.left_out] == [fork.reader for fork in derivation.left_out] != []


def test_a_state_that_sends_nothing_back_gets_no_terms_of_its_step():
    forks = derive(load(FORGOTTEN)).adjoints["n"].forks
    assert [(fork.reader, fork.lag) for fork in forks] == [("h", 1)]  # for the initial state


def test_a_start_that_nobody_hears_gets_no_term():
    derivation = derive(load(UNHEARD_START))
    forks = {gradient.value: gradient.forks for gradient in derivation.parameters}
    assert [fork.reader for fork in forks["h_0"]] == ["h"] and forks["n_0"] == ()


@pytest.mark.parametrize("path", packaged_specs(), ids=lambda path: path.stem)
def test_no_cell_of_the_zoo_has_such_branches(path):
    graph = build_graph(load(path))
    left_out = {("z", "mean_z", 0), ("mean_z", "s_1", 0)} if path.stem == "ttt_linear" else set()  # the mean of z - mean(z)
    assert branches(derive(graph)) == branches(everything(graph)) - left_out
