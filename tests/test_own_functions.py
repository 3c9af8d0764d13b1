"""Functions that a spec defines: of vectors and matrices, with parameters, sizes and numbers as arguments."""

from __future__ import annotations

import numpy as np
import pytest

from lstmgen.auditing.claims import read as read_claims
from lstmgen.auditing.judge import audit
from lstmgen.auditing.judgement import HOLDS
from lstmgen.derivation.build import build_graph
from lstmgen.errors import SpecError
from lstmgen.outputs.numpy.module import module_source
from lstmgen.pipeline import derive, execute, load, verify
from lstmgen.schedule.make import make_schedule

STACKED = """
name: stacked
state: {h_1: H, c_1: H, h_2: H, c_2: H}
functions:
  "gates(x, h, W, R, b)": W @ x + R @ h + b
  "gate(z, k)": sigmoid(part(z, k, 4))
  "memory(z, c)": gate(z, 1) * c + gate(z, 0) * tanh(part(z, 3, 4))
  "shown(z, c)": gate(z, 2) * tanh(c)
parameters: {W_1: [4*H, D], R_1: [4*H, H], b_1: 4*H, W_2: [4*H, H], R_2: [4*H, H], b_2: 4*H}
equations:
  z_1: gates(x, h_1[t-1], W_1, R_1, b_1)
  c_1: memory(z_1, c_1[t-1])
  h_1: shown(z_1, c_1)
  z_2: gates(h_1, h_2[t-1], W_2, R_2, b_2)
  c_2: memory(z_2, c_2[t-1])
  h_2: shown(z_2, c_2)
output: h_2
"""

SOLVER = """
name: solver
state: {v: H}
constants: {steps: 4}
parameters: {W: [H, D], R: [H, H], b: H, tau: H}
functions:
  "slope(v, x, W, R, b, tau)": tanh(W @ x + R @ v + b) - v / (1 + exp(tau))
  "moved(v, x, W, R, b, tau)": v + slope(v, x, W, R, b, tau) / steps
equations:
  v: >-
    moved(moved(moved(moved(v[t-1], x, W, R, b, tau), x, W, R, b, tau), x, W, R, b, tau), x, W, R, b, tau)
output: v
"""


def module_of(cell: str):
    return execute(module_source(make_schedule(derive(load(cell))), verified=False), "cell")


@pytest.mark.parametrize("cell", [STACKED, SOLVER], ids=["stacked", "solver"])
def test_they_are_proved(cell):
    verdict = verify(cell)
    assert verdict.passed, "\n".join(verdict.lines())


def test_two_layers_are_two_lstms_one_after_the_other():
    both, single = module_of(STACKED), module_of("lstm")
    rng = np.random.default_rng(0)
    params = {name: rng.normal(size=array.shape) for name, array in both.init_params(3, 4, rng=0).items()}
    named, x = both.named(params), rng.normal(size=(5, 2, 3))
    y, _, _ = both.forward(params, x)
    arrived = x
    for layer in "12":
        own = single.init_params(arrived.shape[-1], 4, rng=0, dtype=np.float64)
        for k, gate in enumerate("ifoz"):
            for kind in "WRb":
                rows = slice(4 * k, 4 * k + 4)
                single.named(own)[f"{kind}_{gate}"][...] = named[f"{kind}_{layer}"][rows]
        arrived, _, _ = single.forward(own, arrived)
    np.testing.assert_allclose(y, arrived, rtol=1e-12)


def test_four_solver_steps_are_four_steps():
    module, rng = module_of(SOLVER), np.random.default_rng(0)
    params = {name: rng.normal(size=array.shape) for name, array in module.init_params(3, 4, rng=0).items()}
    named, x = module.named(params), rng.normal(size=(5, 2, 3))
    y, _, _ = module.forward(params, x)
    v = np.zeros((2, 4))
    for step, now in enumerate(x):
        for _ in range(4):
            slope = np.tanh(now @ named["W"].T + v @ named["R"].T + named["b"]) - v / (1 + np.exp(named["tau"]))
            v = v + slope / 4
        np.testing.assert_allclose(y[step], v, rtol=1e-12)


def test_sizes_numbers_and_makers_in_a_body():
    cell = """
name: made
constants: {half: 0.5}
state: {h: H}
parameters: {W: [H, D], R: [H, H], b: H}
functions:
  "scaled(a)": a / sqrt(H) + half * ones(H)
  "base(n)": ones(n)
  "symmetric(A)": A - transpose(A) + eye(H)
  "power(a, n)": a ** n
equations:
  h: tanh(scaled(W @ x) + symmetric(R) @ h[t-1] + power(b, 2) + b * base(H))
output: h
"""
    verdict = verify(cell)
    assert verdict.passed, "\n".join(verdict.lines())


def test_each_call_has_the_shape_of_its_arguments():
    shapes = {stage.name: stage.shape for stage in build_graph(load(STACKED)).stages}
    assert [str(dim) for dim in (*shapes["z_1"], *shapes["c_2"], *shapes["h_1"])] == ["4*H", "H", "H"]


def test_a_misfit_is_told_in_the_function_and_with_the_call():
    with pytest.raises(SpecError) as caught:
        build_graph(load(STACKED.replace("W_2: [4*H, H]", "W_2: [4*H, D]")))
    (mistake,) = caught.value.mistakes
    assert mistake.place.line == 5  # of the function
    assert "in gates(h_1, h_2[t-1], W_2, R_2, b_2), of the equation of 'z_2': W is (4*H, D), x is (H)" in mistake.message


def test_shapes_of_many_calls_are_found_quickly():
    """2 ** 40 calls, if each were looked at."""
    functions = "".join(f'  "f{k}(a)": "f{k + 1}(a) + f{k + 1}(a)"\n' for k in range(40))
    cell = f"name: many\nstate: {{h: H}}\nparameters: {{W: [H, D], R: [H, H]}}\nfunctions:\n{functions}" \
           '  "f40(a)": 0.1 * a\nequations:\n  h: tanh(f0(W @ x + R @ h[t-1]))\noutput: h\n'
    with pytest.raises(SpecError, match="longer than 20000 operations"):
        build_graph(load(cell))


def test_claims_may_call_them(tmp_path):
    cell = tmp_path / "stacked.yaml"
    cell.write_text(STACKED.strip())
    text = "spec: stacked.yaml\nclaims:\n  z_2: gates(h_1, h_2[t-1], W_2, R_2, b_2)\n  h_2: shown(z_2, c_2)\n"
    claims = read_claims(text, str(tmp_path / "claims.yaml"), tmp_path)
    assert [judgement.verdict for judgement in audit(claims).judgements] == [HOLDS, HOLDS]
