"""The functions of the language in LaTeX. `tests/test_functions.py` holds the three tables complete."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Formula:
    """How a call is printed."""

    call: str  # with {a}, {b}, {c} in place of the arguments
    meaning: str = ""  # what the document says it is, in a, b, c; empty where the symbol says it


TABLE: dict[str, Formula] = {
    "sigmoid": Formula(r"\sigma({a})", r"\frac{1}{1+e^{-a}}"),
    "relu": Formula(r"\operatorname{{relu}}({a})", r"\max(a,0)"),
    "leaky_relu": Formula(r"\operatorname{{lrelu}}({a})", r"\max(a,0.01\,a)"),
    "elu": Formula(r"\operatorname{{elu}}({a})", r"a\,[a>0]+(e^{a}-1)\,[a\le 0]"),
    "softplus": Formula(r"\operatorname{{softplus}}({a})", r"\log(1+e^{a})"),
    "softsign": Formula(r"\operatorname{{softsign}}({a})", r"\frac{a}{1+\lvert a\rvert}"),
    "logsigmoid": Formula(r"\log\sigma({a})", r"-\log(1+e^{-a})"),
    "sqrt": Formula(r"\sqrt{{{a}}}"),
    "rsqrt": Formula(r"\operatorname{{rsqrt}}({a})"),
    "abs": Formula(r"\lvert {a}\rvert"),
    "sign": Formula(r"\operatorname{{sign}}({a})"),
    "floor": Formula(r"\lfloor {a}\rfloor"),
    "max": Formula(r"\max({a},{b})"),
    "min": Formula(r"\min({a},{b})"),
    "clip": Formula(r"\operatorname{{clip}}({a},{b},{c})", r"\min(\max(a,b),c)"),
    "expm1": Formula(r"\operatorname{{expm1}}({a})", r"e^{a}-1"),
    "log1p": Formula(r"\operatorname{{log1p}}({a})", r"\log(1+a)"),
    "erf": Formula(r"\operatorname{{erf}}({a})", r"\frac{2}{\sqrt{\pi}}\int_0^a e^{-s^2}\,ds"),
    "surrogate": Formula(r"\operatorname{{surrogate}}({a},{b},{c})", "b"),
    "silu": Formula(r"\operatorname{{silu}}({a})"),
    "gelu": Formula(r"\operatorname{{gelu}}({a})"),
    "hard_sigmoid": Formula(r"\operatorname{{hsig}}({a})"),
    "hard_tanh": Formula(r"\operatorname{{htanh}}({a})"),
    "mean": Formula(r"\operatorname{{mean}}({a})"),
    "logsumexp": Formula(r"\operatorname{{lse}}({a})"),
    "softmax": Formula(r"\operatorname{{softmax}}({a})"),
    "cumsum": Formula(r"\operatorname{{cumsum}}({a})"),
    "dot": Formula(r"\langle {a},{b}\rangle"),
    "heads": Formula(r"\operatorname{{heads}}_{{{b}}}({a})"),
    "flat": Formula(r"\operatorname{{flat}}({a})"),
    "repeat": Formula(r"\operatorname{{repeat}}({a},{b})"),
    "part": Formula(r"\operatorname{{part}}_{{{b}/{c}}}({a})"),
    "stop_gradient": Formula(r"\operatorname{{stop}}({a})"),
    "clip_gradient": Formula(r"\operatorname{{pass}}_{{{b}}}({a})"),
    "Clip": Formula(r"\operatorname{{clip}}_{{{b}}}({a})", r"\min(\max(a,-b),b)"),
    "Bell": Formula(r"\operatorname{{erf}}'({a})", r"\frac{2}{\sqrt{\pi}}e^{-a^2}"),
    # what the adjoints of these need
    "Reverse_cumsum": Formula(r"\operatorname{{cumsum}}^{{\mathsf T}}({a})"),
    "Fold": Formula(r"\operatorname{{repeat}}^{{\mathsf T}}_{{{b}}}({a})"),
    "Place": Formula(r"\operatorname{{part}}^{{\mathsf T}}_{{{b}/{c}}}({a})"),
    "Slice": Formula("({a})_{{[{b}:{c}]}}"),
}

BARE = {"tanh": r"\tanh", "sin": r"\sin", "cos": r"\cos", "exp": r"\exp", "log": r"\log"}
"""Functions that stand before a single symbol without parentheses."""

BY_RULE = frozenset({
    "identity", "square", "mod", "sum", "layer_norm", "rms_norm", "l2_norm", "outer", "transpose", "concat", "fill",
    "Inverse_std", "Inverse_rms", "Inverse_norm", "ones", "eye", "triangle", "Array",
})
"""What a pattern cannot print: `Printer` has a rule for each."""
