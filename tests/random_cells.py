"""Valid specs at random, from the whole language: for the proofs to look for what no test thought of.

`make_spec(choose)` asks `choose(n)` for every decision, a number below n. A random generator answers it
in `python tests/random_cells.py COUNT` (the long run) and in the test.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable

POINTWISE = (
    "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "softsign", "gelu", "silu", "logsigmoid", "abs",
    "sin", "cos", "hard_sigmoid", "hard_tanh", "identity", "square", "sign", "floor", "erf",
)
BOUNDED = ("tanh", "sigmoid", "softsign", "sin", "cos", "hard_tanh")
VECTORS, SCALAR = (("D",), ("H",), ("K",)), ()
MATRICES = (("H", "K"), ("K", "H"), ("H", "H"), ("K", "D"))
OF_HEADS, MATRIX_OF_HEADS = ("N", "G"), ("N", "G", "G")


class _Cell:
    """One spec in the making. Every name that is declared is read in the end."""

    def __init__(self, choose: Callable[[int], int]):
        self.choose = choose
        self.parameters: dict[str, tuple[str, ...]] = {}
        self.equations: dict[str, str] = {}
        self.shapes: dict[str, tuple[str, ...]] = {}  # of what an expression may read, with its text
        self.unread: dict[str, tuple[str, ...]] = {}

    def pick(self, options):
        return options[self.choose(len(options))]

    def chance(self, one_in: int) -> bool:
        return self.choose(one_in) == 0

    # ------------------------------------------------------------------ leaves

    def parameter(self, shape: tuple[str, ...]) -> str:
        known = [name for name, have in self.parameters.items() if have == shape]
        if known and self.chance(3):
            return self.pick(known)
        name = f"{'WVU'[self.choose(3)] if len(shape) > 1 else 'p'}_{len(self.parameters)}"
        self.parameters[name] = shape
        return name

    def leaf(self, shape: tuple[str, ...]) -> str:
        fitting = [text for text, have in self.shapes.items() if have == shape]
        waiting = [text for text in fitting if text in self.unread]
        if waiting and not self.chance(3):
            text = self.pick(waiting)
        elif fitting and not self.chance(5):
            text = self.pick(fitting)
        else:
            return self.parameter(shape)
        self.unread.pop(text, None)
        return text

    # ------------------------------------------------------------------ expressions

    def expression(self, shape: tuple[str, ...], depth: int) -> str:
        if depth <= 0:
            return self.leaf(shape)
        makers = [self.sum, self.product, self.call, self.quotient, self.choice, self.power, self.clipped]
        if shape == OF_HEADS:
            makers += [self.of_heads, self.of_heads, self.of_heads, self.along_axis]
        elif shape == MATRIX_OF_HEADS:
            makers += [self.matrix_of_heads, self.matrix_of_heads, self.turned, self.along_axis]
        elif len(shape) == 1:
            makers += [self.affine, self.affine, self.matvec, self.along_axis, self.pieces, self.row_reduction]
        elif len(shape) == 2:
            makers += [self.outer, self.turned, self.along_axis, self.product_of_matrices]
        else:
            makers += [self.reduction, self.reduction, self.reduction_of_heads]
        return self.pick(makers)(shape, depth - 1)

    def sum(self, shape, depth):
        left, right = self.expression(shape, depth), self.expression(self.meeting(shape), depth)
        return f"({left}{self.pick((' + ', ' - '))}{right})"

    def meeting(self, shape):
        """A shape that meets `shape` entry by entry: the same, or a scalar."""
        return SCALAR if self.chance(4) else shape

    def product(self, shape, depth):
        number = self.pick(("", "0.5 * ", "-0.3 * "))
        return f"{number}{self.expression(shape, depth)} * {self.expression(self.meeting(shape), depth)}"

    def quotient(self, shape, depth):
        return f"{self.expression(shape, depth)} / (2 + square({self.expression(self.meeting(shape), depth)}))"

    def power(self, shape, depth):
        inner = self.expression(shape, depth)
        return self.pick((
            f"{self.inside(inner)} ** 2", f"log(1.5 + square({inner}))", f"sqrt(1 + square({inner}))",
            f"rsqrt(1 + square({inner}))", f"exp(0.3 * tanh({inner}))", f"mine({inner})",
            f"(1.2 + sigmoid({inner})) ** 1.5", f"mod({inner}, 0.7 + sigmoid({self.leaf(shape)}))",
            f"log1p(square({inner}))", f"expm1(0.3 * tanh({inner}))",
        ))

    @staticmethod
    def inside(text: str) -> str:
        return f"({text})"

    def call(self, shape, depth):
        inner = self.expression(shape, depth)
        function = self.pick(POINTWISE)
        if function in ("floor", "sign"):  # on their own they would cut everything off
            # and at 0 it would jump for a rounding error
            return f"({self.leaf(shape)} + 0.3 * {function}(2.3 * {inner} + 0.37))"
        return f"{function}({inner})"

    def choice(self, shape, depth):
        a, b, relation = self.expression(shape, depth), self.leaf(shape), self.pick(("<", "<=", ">", ">="))
        if a == b or self.chance(3):
            return f"min({a}, 0.3)"
        if self.chance(2):
            return f"max({a}, {b})"
        return f"where({b} {relation} {self.pick(('0.1', '-0.2'))}, {a}, {self.expression(shape, depth)})"

    def clipped(self, shape, depth):
        return self.pick((
            f"clip({self.expression(shape, depth)}, -0.6, 0.7)",
            f"({self.leaf(shape)} + 0.5 * stop_gradient({self.expression(shape, depth)}))",
            f"clip_gradient({self.moving(shape, depth)}, 0.2)",
            f"surrogate({self.leaf(shape)}, {self.expression(shape, depth)}, 1 / (1 + abs({self.leaf(shape)})))",
        ))

    def moving(self, shape, depth):
        """An expression that no static value can be."""
        fitting = [text for text, have in self.shapes.items() if have == shape and (text.endswith("[t-1]") or text == "x")]
        return f"{self.pick(fitting)} * {self.expression(shape, depth)}" if fitting else self.row_of_input(shape)

    def row_of_input(self, shape):
        if not shape:
            return "mean(x)"
        if shape[0] == "N":
            vectors = f"heads({self.parameter(('N*G', 'D'))} @ x, N)"
            return vectors if len(shape) == 2 else f"outer({vectors}, {self.parameter(OF_HEADS)})"
        vector = f"({self.parameter((shape[0], 'D'))} @ x)"
        return vector if len(shape) == 1 else f"outer({vector}, {self.parameter(shape[1:])})"

    def matvec(self, shape, depth):
        inner = self.pick(VECTORS)
        if self.chance(4):
            return f"(transpose({self.parameter((*inner, *shape))}) @ {self.inside(self.expression(inner, depth))})"
        if self.chance(5) and ("H", "K") in self.shapes.values():
            rows = shape[0]
            fitting = [text for text, have in self.shapes.items() if len(have) == 2 and have[0] == rows]
            if fitting:
                matrix = self.pick(fitting)
                self.unread.pop(matrix, None)
                return f"({matrix} @ {self.inside(self.expression(self.shapes[matrix][1:], depth))})"
        if self.chance(6) and inner == shape:
            name = self.parameter((*shape, *shape))
            return f"(({name} - transpose({name})) @ {self.inside(self.expression(shape, depth))})"
        if self.chance(6) and inner == shape:
            made = self.pick((f"triangle({shape[0]})", f"(0.5 * {self.parameter((*shape, *shape))} + eye({shape[0]}))"))
            return f"({made} @ {self.inside(self.expression(shape, depth))})"
        if self.chance(8):
            return f"(transpose({self.parameter(('2', *shape))}) @ (grid @ {self.narrow(inner, depth)}))"
        return f"({self.parameter((*shape, *inner))} @ {self.inside(self.expression(inner, depth))})"

    def narrow(self, inner, depth):
        """A vector of 3 entries, which meets the constants."""
        return f"({self.parameter(('3', *inner))} @ {self.inside(self.expression(inner, depth))})"

    def affine(self, shape, depth):
        """W @ x + R @ h + b, with a scalar or a product among the terms now and then."""
        terms = [self.matvec(shape, depth - 1)[1:-1] for _ in range(1 + self.choose(2))]
        if self.chance(2):
            terms.append(self.parameter(shape))
        if self.chance(2):
            terms.append(self.expression(self.meeting(shape), depth))
        return f"({' + '.join(terms)})"

    def along_axis(self, shape, depth):
        inner = self.expression(shape, depth)
        function = self.pick(("softmax", "cumsum", "layer_norm", "rms_norm", "l2_norm", "softmax"))
        if function == "cumsum":
            return f"0.3 * cumsum({inner})"
        plain = function == "softmax" and self.chance(4)  # the sum of all is then a constant
        weight = "" if plain else f"{self.leaf(shape)} * "
        return f"{weight}{function}({inner}{', 0.1' if function.endswith('norm') else ''})"

    def pieces(self, shape, depth):
        (size,) = shape
        if self.chance(2):
            wide = self.parameter((f"3*{size}", self.pick(("D", "H"))))
            inner = self.expression((self.parameters[wide][1],), depth)
            return f"part({wide} @ {self.inside(inner)}, {self.choose(3)}, 3)"
        if self.chance(2):
            return f"part(repeat({self.expression(shape, depth)}, 2), {self.choose(2)}, 2)"
        other = self.pick(("D", "K"))
        matrix = self.parameter((size, f"{size} + {other}" if size != other else f"2*{size}"))
        return f"({matrix} @ concat({self.expression(shape, depth)}, {self.expression((other,), depth)}))"

    def row_reduction(self, shape, depth):
        wide = [s for s in MATRICES if s[0] == shape[0]]
        if not wide:
            return self.call(shape, depth)
        function = self.pick(("sum", "mean", "logsumexp"))
        return f"0.3 * {function}({self.expression(self.pick(wide), depth)})"

    def outer(self, shape, depth):
        known = {axis for have in self.shapes.values() for axis in have}  # a size that nothing else has cannot be told
        sides = [f"ones({axis})" if axis in known and self.chance(6) else self.expression((axis,), depth) for axis in shape]
        return f"outer({', '.join(sides)})"

    def turned(self, shape, depth):
        before = shape if len(shape) == 3 else shape[::-1]  # matrices of heads are square here
        return f"transpose({self.expression(before, depth)})"

    def product_of_matrices(self, shape, depth):
        inner = self.pick(("D", "H", "K"))
        left, right = (self.parameter(each) for each in ((shape[0], inner), (inner, shape[1])))
        if self.chance(3):
            right = f"outer({self.expression((inner,), depth)}, {self.expression((shape[1],), depth)})"
        return f"0.3 * ({left} @ {right})"

    # ------------------------------------------------------------------ heads

    def of_heads(self, shape, depth):
        match self.choose(5):
            case 0:
                return f"heads({self.parameter(('N*G', 'D'))} @ {self.inside(self.expression(('D',), depth))}, N)"
            case 1:
                return f"({self.expression(MATRIX_OF_HEADS, depth)} @ {self.inside(self.expression(shape, depth))})"
            case 2:
                return f"({self.parameter(MATRIX_OF_HEADS)} @ {self.inside(self.expression(shape, depth))})"
            case 3:
                number = f"sum({self.expression(shape, depth)})"
                return f"0.3 * fill({number}, G) * {self.expression(shape, depth)}"
            case _:
                wide = f"flat({self.expression(shape, depth)})"
                return f"heads({self.pick(('tanh', 'softmax', 'cumsum'))}({wide}), N)"

    def matrix_of_heads(self, shape, depth):
        match self.choose(3):
            case 0:
                return f"outer({self.expression(OF_HEADS, depth)}, {self.expression(OF_HEADS, depth)})"
            case 1:
                return f"0.3 * ({self.leaf(shape)} @ {self.inside(self.expression(shape, depth))})"
            case _:
                number = f"mean({self.expression(OF_HEADS, depth)})"
                return f"fill(fill({number}, G), G) * {self.expression(shape, depth)}"

    def reduction_of_heads(self, shape, depth):
        return f"mean(sin(flat({self.expression(OF_HEADS, depth)})))"

    def reduction(self, shape, depth):
        inner = self.pick(VECTORS)
        if self.chance(3):
            return f"dot({self.expression(inner, depth)}, {self.expression(inner, depth)})"
        if self.chance(6):
            return f"dot(wave, {self.narrow(inner, depth)})"
        return self.pick(("mean(sin({}))", "logsumexp({})", "0.2 * sum({})")).format(self.expression(inner, depth))


def make_spec(choose: Callable[[int], int]) -> str:
    """The text of a valid spec."""
    cell = _Cell(choose)
    inputs = {"x": ("D",)}
    if cell.chance(3):
        inputs["e"] = cell.pick((("K",), (), ("H",)))
    kinds = (("H",), ("H",), ("K",), (), ("H", "K"), ("D",), ("H",), OF_HEADS, MATRIX_OF_HEADS)
    states = {f"s{k}": cell.pick(kinds) for k in range(1 + choose(4))}
    for name, shape in inputs.items():
        cell.shapes[name] = cell.unread[name] = shape
    for name, shape in states.items():
        cell.shapes[f"{name}[t-1]"] = cell.unread[f"{name}[t-1]"] = shape
    for number in range(choose(5)):
        shape = cell.pick((("H",), ("K",), (), ("H", "K"), ("H",), OF_HEADS))
        cell.equations[f"v{number}"] = cell.expression(shape, 1 + choose(3))
        cell.shapes[f"v{number}"] = cell.unread[f"v{number}"] = shape
    for name, shape in states.items():
        function = cell.pick(BOUNDED)  # keeps the steps from growing without bound
        cell.equations[name] = f"{function}({cell.expression(shape, 1 + choose(3))})"
        cell.shapes[name] = shape
    outputs = [name for name in states if cell.chance(2)] or [next(iter(states))]
    if cell.chance(3):
        cell.equations["y"] = cell.expression(cell.pick((("H",), ("K",), ())), 1 + choose(2))
        outputs.append("y")
    last = next(reversed(states))
    # What nothing has read so far goes into the last state, so that every declaration is used.
    body = " ".join(cell.equations.values())
    for text, shape in cell.shapes.items():
        if text in outputs or text in states or re.search(rf"\b{re.escape(text)}(?![\w\[])", body):
            continue
        reduced = text if not shape else f"{'mean(' * len(shape)}sin({text}){')' * len(shape)}"
        cell.equations[last] += f" + 0.1 * {reduced}"
    body = " ".join(cell.equations.values())
    read = [shape for name, shape in cell.parameters.items() if re.search(rf"\b{name}\b", body)]
    told = {axis for shape in (*inputs.values(), *read) for axis in shape}
    for size in "NG":  # a product of them tells neither, and a state need not be given
        if size not in told and any(size in axis for shape in (*states.values(), *read) for axis in shape):
            cell.parameters[f"q_{size}"] = (size,)
            cell.equations[last] += f" + 0.1 * mean(sin(q_{size}))"
    return _text(cell, inputs, states, outputs)


def _text(cell: _Cell, inputs, states, outputs) -> str:
    body = " ".join(cell.equations.values())
    cell.parameters = {name: shape for name, shape in cell.parameters.items() if re.search(rf"\b{name}\b", body)}
    lines = ["name: random_cell", "dims: {D: input_size, H: hidden_size, K: key_size}"]
    lines += ["inputs:", *(f"  {name}: {_shape(shape)}" for name, shape in inputs.items())]
    lines += ["state:", *(f"  {name}: {_shape(shape)}" for name, shape in states.items())]
    constants = {"beta": "0.7", "wave": "[0.5, -1, 0.25]", "grid": "[[1, 0, -0.5], [0.3, 1, 0]]"}
    used = {"beta": "mine(" in body, "wave": "wave" in body, "grid": "grid" in body}
    if any(used.values()):
        lines.append("constants: {" + ", ".join(f"{name}: {constants[name]}" for name in constants if used[name]) + "}")
    if used["beta"]:
        lines += ["functions:", '  "mine(a)": a * tanh(beta * a)']
    initial = {}
    for name, shape in states.items():
        if cell.chance(5):
            initial[name] = f"start_{name}"
            cell.parameters[f"start_{name}"] = shape
        elif cell.chance(5):
            initial[name] = "0.25"
    lines += ["parameters:" if cell.parameters else "parameters: {}"]
    lines += [f"  {name}: {_shape(shape)}" for name, shape in cell.parameters.items()]
    lines += ["equations:", *(f"  {name}: {text}" for name, text in cell.equations.items())]
    lines += [f"output: [{', '.join(outputs)}]"]
    if initial:
        lines.append("initial: {" + ", ".join(f"{name}: {start}" for name, start in initial.items()) + "}")
    shape = states.get(outputs[0])
    if shape is not None and cell.chance(4):
        name, opened = outputs[0], ("0.5 * ", "sum(", "sum(mean(", "sum(mean(mean(")[len(shape)]
        if cell.chance(3):  # linear: gradients that no step changes, and that need not be the same in every entry
            inner = f"{name} - 2 * {name}[t-1]"
            inner = f"cumsum({inner})" if shape and cell.chance(2) else f"({inner})"
            lines.append(f"loss: {opened}{inner}{')' * len(shape)}")
        else:
            lines += [f"targets: {{goal: {_shape(shape)}}}", f"loss: {opened}square({name} - goal){')' * len(shape)}"]
        if cell.chance(2):
            lines.append("loss_at: last")
    used = {size for group in (inputs, states, cell.parameters) for shape in group.values() for size in shape}
    keywords = {"D": "input_size", "H": "hidden_size", "K": "key_size", "N": "heads", "G": "head_size"}
    sizes = {letter for size in used for letter in keywords if letter in size}
    lines[1] = "dims: {" + ", ".join(f"{size}: {keywords[size]}" for size in keywords if size in sizes) + "}"
    return "\n".join(lines) + "\n"


def _shape(shape: tuple[str, ...]) -> str:
    return "[" + ", ".join(shape) + "]"


def is_dead(verdict, text: str) -> bool:
    """A cell that no point can show at work: a clip never opens, or a gradient is too small to difference."""
    failed = [figure for figure in verdict.figures if not figure.passed]
    closed = bool(verdict.untaken) or any(
        word in text for word in ("clip(", "hard_", "min(", "max(", "relu(", "where(", "mod("))
    flat = all(figure.error < 1e-12 for figure in failed if figure.proof == 2)
    return bool(failed) and {figure.proof for figure in failed} <= {2, 4} and flat and (
        closed or all(figure.proof == 2 for figure in failed))


def _prove(seed: int):
    """(seed, the spec's text, what is wrong with it: None if it is dead) of one random cell."""
    from lstmgen.errors import SpecError
    from lstmgen.pipeline import verify

    text = make_spec(random.Random(seed).randrange)
    try:
        verdict = verify(text)
    except SpecError as error:
        return seed, text, f"refused: {error}"
    if is_dead(verdict, text):
        return seed, text, None
    failed = [f"{figure.proof} {figure.what} {figure.error:.1e}" for figure in verdict.figures if not figure.passed]
    return seed, text, "; ".join(failed[:5])


def main() -> None:
    """Prove COUNT random cells, from a seed on; print those that fail."""
    from concurrent.futures import ProcessPoolExecutor

    count, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    failures = dead = 0
    with ProcessPoolExecutor() as pool:
        for seed, text, wrong in pool.map(_prove, range(first, first + count), chunksize=4):
            dead += wrong is None
            if wrong:
                failures += 1
                print(f"seed {seed}: {wrong}\n{text}")
    print(f"{dead} of them dead: a clip or a choice that never opens")
    print(f"{count - failures - dead} passed, {failures} failed")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
