"""The proofs pass what is right, and each of them fails what it is there to find."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from lstmgen.proofs import derivation as prove_derivation
from lstmgen.derivation.chain import Gradient, derive
from lstmgen.language.expressions import Adjoint, Negative, Number, Outside, Product, Sum, Value, shift, transform, walk
from lstmgen.proofs.verdict import (
    COMPLEX_STEP, HIGH_PRECISION, KNOCK_OUT, MEANING, SPLITTING, Figure, Verdict, compared, relative_error,
)
from lstmgen.language.functions import PUBLIC
from lstmgen.derivation.build import build_graph
from lstmgen.derivation.graph import Graph
from lstmgen.outputs.numpy.module import module_source
from lstmgen.pipeline import execute
from lstmgen.schedule.make import make_schedule
from lstmgen.numerics.points import choose_sizes
from lstmgen.proofs.derivation import DerivationProofs
from lstmgen.spec.reader import read
from lstmgen.proofs.verify import complex_step, high_precision, knock_out, meaning, splitting, verify

PEEPHOLES = "name: peepholes\ncell: lstm\npeepholes: true\n"

RNN = """
name: rnn
state: {h: H}
parameters: {W: [H, D], R: [H, H], b: [H], h_0: [H]}
equations: {h: "tanh(W @ x + R @ h[t-1] + b)"}
output: h
initial: {h: h_0}
"""

# Every way in which a cell can be built, in one: a static stage, several outputs, a learned start,
# a matrix state, a scalar, a choice, and operations along an axis.
MANY = """
name: many
inputs: {x: D, k: []}
state: {h: H, C: [H, D], s: []}
parameters: {W: [H, D], b: [H], w: [], s_0: [], R: [H, H]}
equations:
  A: R - transpose(R)
  u: tanh(W @ x + A @ h[t-1] + b)
  C: sigmoid(w) * C[t-1] + outer(u, tanh(x))
  s: s[t-1] * w + mean(u) + mean(C[t-1] @ x)
  v: where(u < k, softmax(u), layer_norm(u) * s)
  h: max(v, 0.3 * u) + C @ x / sqrt(H)
output: [h, v]
initial: {s: s_0}
"""

LOSS = """
name: loss
state: {h: H}
parameters: {W: [H, D], R: [H, H], V: [K, H]}
dims: {D: input_size, H: hidden_size, K: classes}
equations:
  h: tanh(W @ x + R @ h[t-1])
  q: V @ h
output: q
targets: {target: K}
loss: logsumexp(q) - dot(target, q) + 0.1 * sum(h * h[t-1])
"""


def derived(text: str) -> tuple[Graph, object]:
    graph = build_graph(read(text, "<text>"))
    return graph, derive(graph)


def failed(figures) -> list[Figure]:
    return [figure for figure in figures if not figure.passed]


# ---------------------------------------------------------------- what is right passes

# What sum, mean and dot send back to u does not move: the array is made of three numbers.
MET = """
name: met
state: {h: H}
parameters: {W: [H, D], R: [H, H], V: [H, D], p: H}
equations:
  u: W @ x
  h: tanh(V @ x + R @ h[t-1])
output: h
loss: sum(u) + mean(u) + dot(p, u) + sum(h)
"""
CELLS = {"met": MET, "peepholes": PEEPHOLES, "rnn": RNN, "many": MANY, "every": LOSS, "last": LOSS + "loss_at: last\n"}


@pytest.mark.parametrize("cell", CELLS)
def test_right_derivations_pass(cell):
    graph, derivation = derived(CELLS[cell])
    figures = (*high_precision(graph, derivation), *knock_out(graph, derivation))
    assert not failed(figures)
    assert max(figure.error for figure in figures if figure.proof == HIGH_PRECISION) < 1e-50
    assert sum(figure.proof == KNOCK_OUT for figure in figures) == len(list(derivation.contributions()))


# Bodies of `h` that among them call every function, u and b being vectors.
BODIES = [
    *(
        f"tanh({name}(u)) + b"
        for name in """
            sigmoid tanh relu leaky_relu elu softplus softsign gelu silu exp logsigmoid abs sin cos square
            identity hard_sigmoid hard_tanh softmax cumsum layer_norm rms_norm l2_norm expm1 erf
        """.split()
    ),
    "log(u ** 2 + 0.5) + b",
    "log1p(u ** 2) + b",
    "rms_norm(u, 0.1) * l2_norm(b, 0.3)",
    "surrogate(u * b, where(u > b, u, 0.5 * b), cos(u) * b) + tanh(u)",
    "tanh(clip_gradient(u, 0.2)) * clip_gradient(u * b, 0.3) + clip_gradient(u * b, 0.3)",
    "sqrt(u ** 2 + 0.5) + b",
    "rsqrt(u ** 2 + 0.5) + b",
    "max(u, b)",
    "max(u, u) + b",
    "min(u, b)",
    "clip(u, b - 1.1, b + 0.2)",
    "where(u <= b, tanh(u), u * b)",
    "where(u < 0, where(b > u, u, b), 0.5 * u)",
    "where(u < b, u, u) * b",
    "tanh(u / (1 + sum(u ** 2))) + b",
    "tanh(u - mean(u)) + b",
    "u - logsumexp(u) + b",
    "layer_norm(u, 0.1) * b",
    "tanh(u * dot(u, b))",
    "tanh(u * dot(u, u)) + b",
    "tanh(outer(u, b) @ u)",
    "tanh(outer(u, u) @ b)",
    "outer(u, x) @ (transpose(outer(b, x)) @ u)",
    "part(repeat(u, 3), 1, 3) * b",
    "part(cumsum(concat(u, b, u * b)), 2, 3) * b",
    "part(concat(u, u), 1, 2) * b",
    "(1 + u ** 2) ** 1.5 * (2 + sin(u)) ** b",
    "2 ** u * u ** 3 / (1 + u ** 2) ** 0.5 + b",
    "(u - b) / (2 + b ** 2) - 1 / (3 + u)",
    "tanh(u) / sqrt(H) + H * b",
    "tanh(u) * tanh(u) + u * u + b",
    "u - (R @ b) * b - 2 * (R @ u)",
    "(R - transpose(R)) @ u + b",
    "0.3 * (outer(u, b) @ R) @ u",
    "0.3 * (R @ transpose(outer(u, b))) @ b",
    "(fill(u, H) * R) @ b + sum(fill(fill(b, H), H) * fill(outer(u, u), H)) @ b",
    "flat(heads(u, 1) @ outer(b, u)) + b",
    "flat(heads(tanh(u), 1)) * b",
]
# Of these a part has no derivative at all.
STILL = [
    "tanh(u) * sign(u) * b",
    "tanh(u) * floor(3 * u) + b",
    "mod(u, 0.5 + b ** 2)",
    "tanh(stop_gradient(u) * u) + stop_gradient(h[t-1]) * b",
    "tanh(u) * where(u >= b, 1, 0.25)",
]


def one(body: str) -> str:
    return f"""
name: one
state: {{h: H}}
parameters: {{W: [H, D], R: [H, H], b: [H]}}
equations:
  u: W @ x + R @ h[t-1]
  h: {body}
output: h
"""


@pytest.mark.parametrize("body", BODIES + STILL)
def test_the_derivative_of_every_function(body):
    graph, derivation = derived(one(body))
    assert not failed(high_precision(graph, derivation))


@pytest.mark.parametrize("body", BODIES + STILL)
def test_every_branch_of_every_function_is_missed(body):
    graph, derivation = derived(one(body))
    assert not failed(knock_out(graph, derivation))


def test_every_function_is_among_them():
    text = " ".join(BODIES + STILL)
    assert [name for name in PUBLIC if f"{name}(" not in text] == ["eye", "ones", "triangle"]  # which read no value


# ---------------------------------------------------------------- corrupted derivations


def changed(derivation, target: str, reader: str, change: Callable, lag: int | None = None):
    """The derivation with one branch changed, or taken out where `change` gives None."""
    count = 0

    def gradient(old):
        nonlocal count
        forks = []
        for fork in old.forks:
            if (fork.target, fork.reader) == (target, reader) and lag in (None, fork.lag):
                count += 1
                fork = change(fork)
            forks += [] if fork is None else [fork]
        return replace(old, forks=tuple(forks))

    made = replace(
        derivation,
        stages=tuple(map(gradient, derivation.stages)),
        inputs=tuple(map(gradient, derivation.inputs)),
        parameters=tuple(map(gradient, derivation.parameters)),
    )
    assert count, f"there is no branch from {reader} to {target}"
    return made


def both(fork, change: Callable):
    """Both forms of a term changed alike."""
    return replace(fork, term=change(fork.term), at_reader=change(fork.at_reader))


def read_at(name: str, steps: int) -> Callable:
    """Every value of that name read some steps later."""
    def rule(node):
        return shift(node, steps) if isinstance(node, Value) and node.name == name else None

    return lambda expression: transform(expression, rule)


def adjoint_at(steps: int) -> Callable:
    def rule(node):
        return shift(node, steps) if isinstance(node, Adjoint) else None

    return lambda expression: transform(expression, rule)


CORRUPTIONS = {
    "a branch forgotten": lambda d: changed(d, "c", "tanh_c", lambda fork: None),
    "a branch through time forgotten": lambda d: changed(d, "c", "f_pre", lambda fork: None),
    "a peephole forgotten": lambda d: changed(d, "c", "o_pre", lambda fork: None),
    "a sign": lambda d: changed(d, "c", "o_pre", lambda fork: both(fork, Negative)),
    "a sign far away": lambda d: changed(d, "b_f", "f_pre", lambda fork: both(fork, Negative)),
    "the step before": lambda d: changed(d, "c", "c", lambda fork: both(fork, read_at("f", -1))),
    "the same step's gate": lambda d: changed(d, "f", "c", lambda fork: both(fork, read_at("c", 1))),
    "the adjoint of the same step": lambda d: changed(d, "h", "i_pre", lambda f: replace(
        f, term=adjoint_at(-1)(f.term))),
    "the adjoint of another step": lambda d: changed(d, "h", "i_pre", lambda f: both(f, adjoint_at(1))),
    "a branch of the same step": lambda d: changed(d, "h", "i_pre", lambda fork: replace(fork, lag=0)),
    "not summed over time": lambda d: changed(d, "W_f", "f_pre", lambda fork: replace(fork, over_time=False)),
    "twice": lambda d: replace(d, parameters=tuple(
        replace(gradient, forks=gradient.forks * 2) for gradient in d.parameters)),
    "no gradient of a parameter": lambda d: replace(d, parameters=d.parameters[1:]),
    "no gradient of a stage": lambda d: replace(d, stages=tuple(g for g in d.stages if g.value != "f")),
    "another order": lambda d: replace(d, stages=d.stages[::-1]),
    "the term alone": lambda d: changed(d, "c", "c", lambda fork: replace(fork, term=Negative(fork.term))),
    "the reader's form alone": lambda d: changed(d, "c", "c", lambda fork: replace(
        fork, at_reader=Negative(fork.at_reader))),
    "the derivative that is told": lambda d: changed(d, "c", "tanh_c", lambda fork: replace(
        fork, local=Negative(fork.local))),
    "a shape": lambda d: changed(d, "b_f", "f_pre", lambda fork: both(fork, lambda term: Value("W_f"))),
}


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_high_precision_finds(corruption):
    graph, derivation = derived(PEEPHOLES)
    assert failed(high_precision(graph, CORRUPTIONS[corruption](derivation)))


@pytest.mark.parametrize("cell", ["many", "every", "last"])
def test_no_branch_can_be_forgotten(cell, monkeypatch):
    """Each of them in turn: high precision misses every one that is not a number put in elsewhere."""
    monkeypatch.setattr(prove_derivation, "MOST_WORK", 0)
    graph, derivation = derived(CELLS[cell])
    folded = {fork.reader for fork in derivation.contributions() if not reads_adjoint(fork.upstream)}
    for fork in derivation.contributions():
        if fork.target not in folded:
            missing = failed(high_precision(graph, without(derivation, fork)))
            assert missing, f"d_{fork.target} through {fork.reader}"


def reads_adjoint(expression) -> bool:
    return any(isinstance(node, (Adjoint, Outside)) for node in walk(expression))


def without(derivation, fork):
    def gradient(old):
        return replace(old, forks=tuple(each for each in old.forks if each is not fork))

    return replace(
        derivation,
        stages=tuple(map(gradient, derivation.stages)),
        inputs=tuple(map(gradient, derivation.inputs)),
        parameters=tuple(map(gradient, derivation.parameters)),
    )


def test_a_wrong_initial_state_is_seen():
    """The error of a well-known library: right wherever the initial state is zero."""
    graph, derivation = derived(PEEPHOLES)
    wrong = changed(derivation, "p_f", "f_pre", lambda fork: both(fork, read_at("c", 1)))
    assert "p_f" in {figure.what for figure in failed(high_precision(graph, wrong))}


def test_knock_out_names_what_is_not_missed():
    graph, derivation = derived(PEEPHOLES)
    vanishing = changed(derivation, "c", "o_pre", lambda fork: both(
        fork, lambda term: Sum((term, Negative(term)))))
    assert [figure.what for figure in failed(knock_out(graph, vanishing))] == ["d_c through o_pre"]


def test_a_gradient_that_ends_nowhere_is_not_missed():
    graph, derivation = derived(one("tanh(u) * sign(u) * b"))
    sign = next(stage.name for stage in graph.stages if stage.name.startswith("sign"))
    given = derivation.adjoints["u"]
    fork = replace(given.forks[0], target=sign, term=Adjoint("h"), at_reader=Adjoint("h"), local=None)
    dead = Gradient(sign, given.shape, (fork,))
    padded = replace(derivation, stages=(*derivation.stages, dead))
    assert not failed(high_precision(graph, padded))
    assert [figure.what for figure in failed(knock_out(graph, padded))] == [f"d_{sign} through {fork.reader}"]


def test_a_branch_taken_rarely_is_looked_for():
    graph, derivation = derived(one("hard_sigmoid(u) + b"))  # flat beyond 2.5
    proofs = DerivationProofs(graph, derivation)
    assert not failed(proofs.high_precision())
    assert len(proofs.points) > 1
    assert proofs.untaken == ()


def test_a_choice_that_is_none_is_told():
    """Its branch is printed and not needed, which is what knock-out is there to say."""
    graph, derivation = derived(one("where(u ** 2 < -1, u, b * u)"))
    proofs = DerivationProofs(graph, derivation)
    assert not failed(proofs.high_precision())
    assert proofs.untaken == ("h",)
    assert [figure.what for figure in failed(proofs.knock_out())] == ["d_u through h"]


def test_the_range_of_a_value_is_kept():
    text = one("log(u) + log(b)").replace("u: W @ x + R @ h[t-1]", "u: W @ x + R @ exp(h[t-1])")
    graph, derivation = derived(text + "range: {W: [0.5, 1], R: [0.5, 1], x: [0.5, 1], b: [2, 3]}\n")
    proofs = DerivationProofs(graph, derivation)
    assert not failed(proofs.high_precision())
    assert proofs.redraws == 0
    assert proofs.points[0].parameters["b"].min() >= 2
    graph, derivation = derived(text + "range: {W: [0.5, 1], R: [0.5, 1], x: [0.5, 1], b: [-3, -2]}\n")
    figures = high_precision(graph, derivation)
    assert "not finite" in failed(figures)[0].what


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_numbers_that_grow_are_drawn_nearer():
    graph, derivation = derived(one("exp(exp(exp(9 * u))) + b"))
    proofs = DerivationProofs(graph, derivation)
    assert not failed(proofs.high_precision())
    assert proofs.redraws > 0


# ---------------------------------------------------------------- sizes


def test_sizes_differ_and_averages_have_four():
    graph, _ = derived(MANY)
    for least in (2, 3):
        sizes = choose_sizes(graph, least)
        assert sizes["H"] >= 4 and len(set(sizes.values())) == 2 and min(sizes.values()) >= least
    text = one("u * b").replace("R: [H, H]", "R: [H, H], V: [3, D + H]").replace(
        "u * b", "u * b * sum(V @ concat(x, u))")
    sizes = choose_sizes(derived(text)[0], 2)
    assert len({3, sizes["D"], sizes["H"], sizes["D"] + sizes["H"]}) == 4


def test_many_dimensions_differ():
    names = "ABEFGK"
    text = (
        "name: wide\ninputs: {x: A}\nstate: {h: B}\noutput: h\n"
        f"dims: {{{', '.join(f'{name}: size_{name}' for name in names)}}}\n"
        f"parameters: {{{', '.join(f'W{a}: [{b}, {a}]' for a, b in zip(names, names[1:] + 'B'))}}}\n"
        'equations: {h: "h[t-1] + WK @ softmax(WG @ (WF @ (WE @ (WB @ (WA @ x)))))"}\n'
    )
    sizes = choose_sizes(derived(text)[0], 2)
    assert len(set(sizes.values())) == 6 and sizes["K"] >= 4


# ---------------------------------------------------------------- a module, written by hand


class State(NamedTuple):
    h: np.ndarray


class Gradients(NamedTuple):
    params: dict
    x: np.ndarray
    state: State


class Rnn(SimpleNamespace):
    """h = tanh(W x + R h[t-1] + b), W and R stored side by side; `bug` says what is wrong with it."""

    State = State
    bug = ""

    def init_params(self, input_size, hidden_size, rng, dtype):
        shapes = {"WR": (hidden_size, input_size + hidden_size), "b": (hidden_size,), "h_0": (hidden_size,)}
        if self.bug == "a parameter that no view shows":
            shapes["extra"] = (2,)
        return {name: np.zeros(shape, dtype) for name, shape in shapes.items()}

    def views(self, params):
        H = len(params["b"])
        return {"W": params["WR"][:, :-H], "R": params["WR"][:, -H:], "b": params["b"], "h_0": params["h_0"]}

    def named(self, params):
        of_gradients = any(params["b"] is array for array in self.made)
        copies = {"copies": True, "copies of gradients": of_gradients}.get(self.bug, False)
        views = self.views(params)
        return {name: view.copy() for name, view in views.items()} if copies else views

    def step(self, params, x, state):
        views = self.views(params)
        y = np.tanh(x @ views["W"].T + state.h @ views["R"].T + views["b"])
        return (y * (1 + 1e-9) if self.bug == "another step" else y), State(y)

    def forward(self, params, x, state=None):
        views = self.views(params)
        h = np.broadcast_to(views["h_0"], (x.shape[1], len(views["b"]))) if state is None else state.h
        if self.bug == "the start ignored" and state is None:
            h = 0 * h
        if self.bug == "an argument written to" and state is not None:
            state.h[...] += 1
        kept = [h]
        for now in x:
            a = now @ views["W"].T + h @ views["R"].T + views["b"]
            h = {"another function": np.sin, "complex parts dropped": lambda a: np.tanh(a.real)}.get(
                self.bug, np.tanh)(a)
            if self.bug == "examples mixed":
                h = h + 1e-9 * h[::-1]
            if self.bug == "always double" and h.dtype == np.float32:
                h = h.astype(float)
            kept.append(h)
        y = np.stack(kept[1:])
        return y, State(h), SimpleNamespace(y=y, x=x, h=np.stack(kept), given=state is not None)

    def backward(self, params, tape, dy, dstate=None):
        views, T = self.views(params), len(tape.x)
        grads = {name: np.zeros_like(array, tape.h.dtype) for name, array in params.items()}
        into = self.views(grads)
        self.made.append(grads["b"])
        back = np.zeros_like(tape.h[0]) if dstate is None else dstate.h + 0 * tape.h[0]
        if self.bug == "what arrives at the last state forgotten":
            back = 0 * back
        dx = np.zeros_like(tape.x, tape.h.dtype)
        for t in range(T - 1, -1, -1):
            da = (back + (0 if dy is None else dy[t])) * (1 - tape.h[t + 1] ** 2)
            before = 0 * tape.h[0] if self.bug == "zero start assumed" and t == 0 else tape.h[t]
            into["W"] += da.T @ tape.x[t]
            into["R"] += (before.T @ da) if self.bug == "transposed" else da.T @ before
            into["b"] += da.sum(0)
            dx[t] = da @ views["W"]
            back = da @ views["R"]
            if self.bug == "one step only":
                back = 0 * back
        if self.bug == "the start's gradient forgotten":
            back = 0 * back
        if not tape.given or self.bug == "a start's gradient though one was given":
            into["h_0"] += back.sum(0)
        if self.bug == "a tape that wears out":
            tape.h[...] *= 0.5
        return Gradients(grads, dx, State(back))


@pytest.fixture(scope="module")
def rnn() -> Graph:
    return derived(RNN)[0]


def figures_of(graph: Graph, bug: str) -> dict[int, list[Figure]]:
    module = Rnn(bug=bug, made=[])
    proofs = {MEANING: meaning, COMPLEX_STEP: complex_step, SPLITTING: splitting}
    return {proof: failed(prove(graph, module)) for proof, prove in proofs.items()}


def test_a_right_module_passes(rnn):
    assert figures_of(rnn, "") == {MEANING: [], COMPLEX_STEP: [], SPLITTING: []}


BUGS = {
    "another function": MEANING,
    "another step": MEANING,
    "the start ignored": MEANING,
    "examples mixed": MEANING,
    "a parameter that no view shows": MEANING,
    "copies": MEANING,
    "complex parts dropped": COMPLEX_STEP,
    "always double": COMPLEX_STEP,
    "copies of gradients": COMPLEX_STEP,
    "an argument written to": COMPLEX_STEP,
    "zero start assumed": COMPLEX_STEP,
    "transposed": COMPLEX_STEP,
    "one step only": COMPLEX_STEP,
    "what arrives at the last state forgotten": COMPLEX_STEP,
    "the start's gradient forgotten": COMPLEX_STEP,
    "a start's gradient though one was given": COMPLEX_STEP,
    "a tape that wears out": COMPLEX_STEP,
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_wrong_module_fails(rnn, bug):
    assert figures_of(rnn, bug)[BUGS[bug]]


@pytest.mark.parametrize("bug, figure", [
    ("another step", "step by step, h"),
    ("copies", "named covers every parameter"),
    ("copies of gradients", "named shows the gradients"),
    ("always double", "float32 stays float32"),
    ("an argument written to", "no argument is written to"),
    ("a tape that wears out", "a second backward gives the same"),
    ("the start's gradient forgotten", "params[h_0], state=None"),
])
def test_the_figure_says_what_is_wrong(rnn, bug, figure):
    assert figure in {each.what for each in sum(figures_of(rnn, bug).values(), [])}


@pytest.mark.parametrize("bug", [
    "what arrives at the last state forgotten", "the start's gradient forgotten", "zero start assumed",
])
def test_splitting_fails(rnn, bug):
    """A gradient that is not handed on, or a boundary that every part has."""
    assert figures_of(rnn, bug)[SPLITTING]


def test_what_a_module_raises_is_a_failed_proof(rnn):
    found = meaning(rnn, SimpleNamespace())
    assert [figure.passed for figure in found] == [False]
    assert "init_params" in found[0].what


# ---------------------------------------------------------------- generated modules


def generated(graph: Graph, derivation):
    return execute(module_source(make_schedule(derivation), verified=False), graph.spec.name)


@pytest.mark.parametrize("cell", CELLS)
def test_generated_modules_pass(cell):
    graph, derivation = derived(CELLS[cell])
    verdict = verify(graph, derivation, generated(graph, derivation))
    assert verdict.passed, "\n".join(verdict.lines())
    assert {figure.proof for figure in verdict.figures} == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("body", BODIES + STILL)
def test_generated_modules_of_every_function_pass(body):
    graph, derivation = derived(one(body))
    module = generated(graph, derivation)
    assert not failed((*meaning(graph, module), *complex_step(graph, module), *splitting(graph, module)))


# A loss that is linear sends back numbers: the same at every step, or at the last one alone; the same in every
# entry, or not. Where nothing that moves arrives, an array has to be made of them.
LINEAR = """
name: linear
state: {h: H, s: H}
parameters: {W: [H, D], R: [H, H], A: [H, H], p: H, q: []}
equations:
  h: tanh(W @ x + R @ h[t-1])
  s: W @ x + 0 * s[t-1]
  u: A @ s
  n: N * q
output: [h, n]
loss: L + dot(p, n) + 0.5 * sum(h)
"""


@pytest.mark.parametrize("loss_at", ["every", "last"])
@pytest.mark.parametrize("loss", ["sum(u)", "mean(n) + sum(A @ u)", "sum(cumsum(u))", "sum(concat(u, n)) + mean(u)"])
@pytest.mark.parametrize("body", ["2 * s[t-1]", "p * s[t-1]", "A @ s[t-1] - s[t-1]", "part(concat(s[t-1], s[t-1]), 1, 2)"])
def test_losses_that_send_back_numbers(body, loss, loss_at):
    for factor in (" * q", ""):  # with it d_n moves, without it d_n is a number
        text = LINEAR.replace(" * q", factor).replace("N", body).replace("L +", f"{loss} +") + f"loss_at: {loss_at}\n"
        if not factor:
            text = text.replace(", q: []", "").replace("dot(p, n)", "sum(n) + 0.1 * dot(p, p)")
        graph, derivation = derived(text)
        verdict = verify(graph, derivation, generated(graph, derivation))
        assert verdict.passed, "\n".join([text, *verdict.lines()])


@pytest.mark.parametrize("loss", ["sum(mean(cumsum(s)))", "sum(sum(s - 2 * s[t-1]))", "sum(cumsum(mean(s)))"])
def test_losses_that_send_back_a_matrix_of_numbers(loss):
    text = ("name: linear\ndims: {D: input_size, H: hidden_size, K: key_size}\nstate: {s: [H, K]}\n"
            "parameters: {V: [H, D], b: K}\nequations:\n  s: tanh(outer(V @ x, b)) + 0 * s[t-1]\noutput: s\n")
    graph, derivation = derived(f"{text}loss: {loss}\n")
    verdict = verify(graph, derivation, generated(graph, derivation))
    assert verdict.passed, "\n".join(verdict.lines())


# ---------------------------------------------------------------- the verdict


def test_the_verdict():
    graph, derivation = derived(PEEPHOLES)
    module = generated(graph, derivation)
    verdict = verify(graph, derivation, module)
    again = verify(graph, derivation, module)
    assert verdict == again  # seeds are fixed
    assert verdict.passed and verdict.forks == 38
    assert (verdict.entries, verdict.module_entries) == (67, 164)
    told = json.loads(json.dumps(verdict.as_json(), allow_nan=False))
    assert told["passed"] and len(told["figures"]) == len(verdict.figures)
    assert len(verdict.lines()) == 6
    assert len(verdict.lines(every=True)) == 1 + len(verdict.figures)  # and the counts
    assert all(len(line) == len(line.rstrip()) for line in verdict.lines())


def test_a_verdict_that_says_no():
    graph, derivation = derived(PEEPHOLES)
    wrong = changed(derivation, "c", "o_pre", lambda fork: None)
    verdict = verify(graph, wrong, generated(graph, derivation))
    assert not verdict.passed
    told = "\n".join(verdict.lines())
    assert "FAILED" in told and "W_z" in told
    assert verdict.worst(HIGH_PRECISION).passed is False
    assert json.dumps(verdict.as_json(), allow_nan=False)


def test_many_failures_are_counted():
    figures = tuple(Figure(KNOCK_OUT, f"branch {number}", 0.0, 1e-8, False) for number in range(100))
    names = tuple(f"a{number}" for number in range(12))
    verdict = Verdict(figures, 0, 0, 0, 0, 0, {}, {}, 3, 3, 2, (), names)
    told = verdict.lines()
    assert len(told) == 1 + 10 + 1 + 2
    assert told[-3].strip() == "... and 89 more FAILED; `lstmgen verify` shows all"
    assert "a8, a9, ...; 'range:'" in told[-1]
    assert len(verdict.lines(every=True)) == 100 + 2


def test_infinity_is_no_json():
    figure = Figure(MEANING, "raised", float("inf"), 1e-12, False)
    verdict = Verdict((figure,), 0, 0, 0, 0, 0, {}, {}, 3, 3, 2, (), ())
    assert verdict.as_json()["figures"][0]["error"] is None
    assert not verdict.passed and len(verdict.lines()) == 2


def test_errors():
    zero, one_, nan = np.zeros(3), np.ones(3), np.array([1.0, np.nan, 1.0])
    assert relative_error(zero, zero) == 0
    assert relative_error(one_ + 1e-3, one_) == pytest.approx(1e-3)
    assert relative_error(one_, zero) == np.inf
    assert relative_error(one_, np.ones(4)) == np.inf
    assert relative_error(1e-17 * one_, zero, scale=1e-13) == 0
    assert relative_error(1e-17 * one_, one_, scale=1e-13) == 1
    for figures in ((nan, one_), (one_, nan), (np.inf * one_, np.inf * one_)):
        assert not compared(MEANING, "", *figures).passed


def chain_of(stages: int) -> str:
    equations = "\n".join(f"  a{n}: tanh(a{n - 1} + b * a{n - 1})" for n in range(1, stages))
    return one(f"a{stages - 1}").replace("  u: W", f"{equations}\n  a0: W")


def test_a_long_chain_passes():
    """How its cost grows is measured by benchmarks/generator.py: no time is asked for here."""
    graph, derivation = derived(chain_of(300))
    assert verify(graph, derivation, generated(graph, derivation)).passed


def many_states(count: int) -> str:
    states = ", ".join(f"s_{index}: H" for index in range(count))
    lines = [f"  s_{index}: tanh({f's_{index - 1}' if index else 'W @ x'} + 0.5 * s_{index}[t-1])" for index in range(count)]
    return "\n".join(["name: many", f"state: {{{states}}}", "parameters: {W: [H, D]}", "equations:", *lines,
                      f"output: s_{count - 1}", ""])


@pytest.mark.parametrize("wrong", ["", "(1 - s_40[t] ** 2)", "(1 - s_68[t] ** 2)"])
def test_of_very_many_arrays_some_share_a_direction(wrong):
    """A figure for each group, and a mistake in one of its arrays does not hide behind the others."""
    graph, derivation = derived(many_states(70))
    text = module_source(make_schedule(derivation), verified=False)
    assert not wrong or wrong in text
    figures = list(complex_step(graph, execute(text.replace(wrong, wrong.replace("1", "1.000000001")), "many")))
    assert 0 < len([figure for figure in figures if " to " in figure.what]) <= 16
    assert bool(failed(figures)) == bool(wrong)


@pytest.mark.parametrize("wrong", ["", "s_1", "s_69"])
def test_of_very_many_derived_gradients_too(wrong):
    graph, derivation = derived(many_states(70))

    def changed(gradient: Gradient) -> Gradient:
        if gradient.value != wrong:
            return gradient
        *rest, last = gradient.forks
        return replace(gradient, forks=(*rest, replace(last, **{
            name: Sum((getattr(last, name), tiny(getattr(last, name)))) for name in ("term", "at_reader")}, local=None)))

    def tiny(term):
        return Product((Number(Fraction(1, 10**20)), term))

    bent = replace(derivation, stages=tuple(map(changed, derivation.stages)))
    figures = failed(high_precision(graph, bent))
    assert bool(figures) == bool(wrong)
