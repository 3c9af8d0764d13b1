"""What to write here for what papers, libraries and other people's code write otherwise."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Sequence

from .names import did_you_mean, nearest

LIBRARIES = frozenset("np numpy jnp jax nn torch tf K F math scipy special ops keras".split())
"""What stands before a dot in code and is no array."""

_SURE = 0.7  # how alike a function's name has to be: `sigma` is not meant to be `sign`, nor `dropout` to be `dot`
_LONGEST = 24  # characters of an argument that is put into a cure

_LOG_2 = "0.6931471805599453"
# How the language says what it has no function for: with {a} and {b} for the arguments.
_INSTEAD = {
    **dict.fromkeys(("matmul", "mm", "mv", "bmm", "matvec", "matrix_multiply"), "write {a} @ {b}"),
    **dict.fromkeys(("multiply", "mul", "hadamard", "times"), "write {a} * {b}, entry by entry"),
    **dict.fromkeys(("add", "plus"), "write {a} + {b}"),
    **dict.fromkeys(("subtract", "sub", "minus"), "write {a} - {b}"),
    **dict.fromkeys(("divide", "div", "true_divide"), "write {a} / {b}"),
    **dict.fromkeys(("power", "pow"), "write {a} ** {b}"),
    **dict.fromkeys(("negative", "neg"), "write -{a}"),
    "reciprocal": "write 1 / {a}",
    "einsum": "write W @ x, outer(a, b) or dot(a, b)",
    "log2": f"write log({{a}}) / {_LOG_2}", "exp2": f"write exp({_LOG_2} * {{a}})",
    "sinh": "write 0.5 * (exp({a}) - exp(-{a}))", "cosh": "write 0.5 * (exp({a}) + exp(-{a}))",
    "tan": "write sin({a}) / cos({a})",
    "ceil": "write -floor(-{a})", "round": "write floor({a} + 0.5)",
    **dict.fromkeys(("heaviside", "step"), "write where({a} > 0, 1, 0)"),
    **dict.fromkeys(("norm", "l2norm"), "write sqrt(sum({a} ** 2))"),
    "var": "write mean(({a} - mean({a})) ** 2)", "std": "write sqrt(mean(({a} - mean({a})) ** 2))",
    "log_softmax": "write {a} - logsumexp({a})",
    "mish": "write {a} * tanh(softplus({a}))", "relu6": "write clip({a}, 0, 6)",
    **dict.fromkeys(("hard_swish", "hardswish", "h_swish"), "write {a} * clip({a} / 6 + 0.5, 0, 1)"),
    "selu": "write 1.0507009873554805 * where({a} > 0, {a}, 1.6732632423543772 * (exp({a}) - 1))",
    **dict.fromkeys(("dropout", "zoneout"), "nothing in a cell is random; a mask can be an input: mask * {a}"),
    **dict.fromkeys(("batch_norm", "batchnorm"), "an equation sees one example of a batch; layer_norm({a}) is within one"),
    **dict.fromkeys(("conv", "conv1d", "conv2d"), "values are scalars, vectors and matrices: there is no convolution"),
    **dict.fromkeys(("zeros", "zeros_like"), "write 0: a number meets any shape"),
    "ones_like": "write 1: a number meets any shape",
    **dict.fromkeys(("tri", "tril"), "write triangle({a}), with a size"),
}


def function_cure(name: str, arguments: Sequence[str], known: Collection[str]) -> str:
    """What to write in place of a call of a function that does not exist. `arguments` are texts."""
    first, second = _two(arguments)
    if name == "linear" and len(arguments) > 1:
        return "write W @ x + b"
    if name.lower() in _INSTEAD:
        return _without_doubles(_INSTEAD[name.lower()].format(a=first, b=second))
    if name.lower() in _LOSSES:
        return _without_doubles(f"write {_LOSSES[name.lower()].format(y=first, target=second)}")
    near = did_you_mean(name, known, _SURE)
    if near:
        return near
    own = "'lstmgen functions' lists them, and 'functions:' in a spec defines others"
    if not re.match(r"[A-Z]|[a-z]\d?(_|\Z)", name):  # no name that a matrix or a gate has
        return own
    return f"a product is written {name} @ {first} or {name} * {first}; {own}"


def method_cure(name: str, on: str, arguments: Sequence[str], known: Collection[str]) -> str:
    """What to write in place of `on.name(arguments)`, as NumPy and others have it."""
    given = list(arguments) if on.partition(".")[0] in LIBRARIES else [on, *arguments]
    if name == "dot":
        first, second = _two(given)
        vectors = _without_doubles(f"dot({first}, {second})")
        return f"write {first} @ {second} for a matrix times a vector, {vectors} for two vectors"
    ours = nearest(name, known, alike=1)  # itself, or what it is called here
    if ours is None:
        return function_cure(name, given, known)
    listed = re.fullmatch(r"[\[(](.*)[\])]", given[0]) if len(given) == 1 else None  # concatenate([x, h])
    shown = [listed[1]] if listed else given
    return f"write {ours}({', '.join(shown) if shown and all(map(_is_short, shown)) else '...'})"


def reference_cure(name: str, on: str) -> str | None:
    """What to write in place of `on.name`, without a call; None where nothing is meant by it."""
    if name == "T":
        return f"write transpose({on if _is_short(on) else 'W'})"
    if on in LIBRARIES:
        return f"write {_NUMBERS[name]}" if name in _NUMBERS else None
    return f"write {name}" if on in ("self", "params", "p", "cell", "model", "cache") else None


_NUMBERS = {"pi": "3.141592653589793", "e": "exp(1)"}


def _two(arguments: Sequence[str]) -> tuple[str, str]:
    """Two operands for a cure: those that were given, or letters where they are long or missing."""
    first, second = (
        _operand(arguments[index]) if index < len(arguments) and _is_short(arguments[index]) else letter
        for index, letter in enumerate("ab")
    )
    return first, second


def _is_short(text: str) -> bool:
    return len(text) <= _LONGEST and not re.search(r"t\+\d{5}", text)  # a claim's step by its number


def _operand(text: str) -> str:
    """A text in parentheses, where another operator beside it would tear it apart."""
    whole = ast.parse(text, mode="eval").body
    return text if isinstance(whole, (ast.Name, ast.Call, ast.Subscript, ast.Constant)) else f"({text})"


def _without_doubles(text: str) -> str:
    """No parentheses where a function's own stand already."""
    text = re.sub(r"\(\(([^()]*)\)\)", r"(\1)", text)
    return re.sub(r"([(,] ?)\(([^()]*)\)(?=[,)])", r"\1\2", text)


# ---------------------------------------------------------------- losses


# Cross entropies are those of logits, and of a target that is a vector of probabilities.
_LOSSES = {
    **dict.fromkeys(("mse", "mse_loss", "mean_squared_error", "l2", "l2_loss"), "mean(({target} - {y}) ** 2)"),
    **dict.fromkeys(("squared_error", "sse", "squared"), "0.5 * sum(({target} - {y}) ** 2)"),
    **dict.fromkeys(("mae", "l1", "l1_loss", "mean_absolute_error"), "mean(abs({target} - {y}))"),
    **dict.fromkeys(("cross_entropy", "crossentropy", "cross_entropy_loss", "ce", "nll", "categorical_crossentropy"),
                    "logsumexp({y}) - sum({target} * {y})"),
    **dict.fromkeys(("bce", "binary_cross_entropy", "binary_crossentropy", "bce_with_logits"),
                    "sum(softplus({y}) - {target} * {y})"),
}


def loss_cure(name: str, output: str, size: str) -> str | None:
    """How a loss that libraries know by a name is written; None for other names."""
    written = _LOSSES.get(name.lower())
    if written is None:
        return None
    told = ""
    if "** 2" in written:
        told = ", or loss: squared_error"
    elif "{target} *" in written:
        told = f", for {output} before a {'softmax' if 'logsumexp' in written else 'sigmoid'}"
    return f"write it out: loss: {written.format(y=output, target='target')}, with targets: {{target: {size}}}{told}"


# ---------------------------------------------------------------- gradients


# What is written before the name of a value, the commonest first: dh, d_h, delta_h, grad_h, dL_dh, dE_h.
_BEFORE_NAME = tuple(map(re.compile, (r"[dD]_?", r"[dD]elta_?", r"[gG]rad_?", r"d[LEJC]_?d?_?", r"(?=\w+_grad\Z)")))
# And after it, with the step that is meant.
_AFTER_NAME = (("", 0), ("_grad", 0), ("_next", 1), ("next", 1), ("_prev", -1), ("prev", -1))


def named_gradient(name: str, known: Collection[str], moving: Collection[str]) -> tuple[str, int] | None:
    """The value whose gradient is called `dh`, `dWf`, `dL_dh` or `dc_next` elsewhere, and how many steps later.

    `known` are the values that have a gradient, `moving` those that change from step to step. None for other names.
    """
    for before in _BEFORE_NAME:
        match = before.match(name)
        for after, step in _AFTER_NAME if match else ():
            bare = name[match.end():] if match else ""
            value = same_letters(bare.removesuffix(after), known) if bare.endswith(after) else None
            if value is not None and (value in moving or not step):
                return value, step
    return None


def gradient_cure(name: str, known: Collection[str], moving: Collection[str]) -> str | None:
    """What to write for it in a claim."""
    found = named_gradient(name, known, moving)
    if found is None:
        return None
    value, step = found
    if step > 0:
        return f"write d_{value}[t+1] for the gradient of {value} at the next step, or via(d_{value}, t+1) " \
               f"for what the next step sends back to {value}"
    return f"write d_{value}[t-1]" if step else f"write d_{value}"


def same_letters(name: str, known: Collection[str]) -> str | None:
    """The known name that is the same but for underscores and a last `t`: `Wf` is W_f, `ht` is h."""
    for written in (name, name.removesuffix("_t"), name.removesuffix("t")):
        if written in known:
            return written
        same = [each for each in known if each.replace("_", "") == written.replace("_", "")]
        if written and len(same) == 1:
            return same[0]
    return None
