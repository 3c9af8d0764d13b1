"""Right backward passes in the many forms in which people write them, as files; each must hold.

`python tests/handed_in.py COUNT SEED` writes COUNT of them, hands each in with its layout and without, and tells
which do not hold. Run with a layout, each has to hold. Run without, it holds or is not judged: it is never called wrong.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path

CELLS = {  # gates with their activations, in the order of computation; what they read of the state; peepholes
    "lstm": ("f i z o", {}),
    "lstm_no_bias": ("f i z o", {}),
    "peephole_lstm": ("f i z o", {"f": "c_prev", "i": "c_prev", "o": "c"}),
    "gru_reset_before": ("r z n", {}),
    "rnn": ("h", {}),
}
NAMES = {  # styles of names: of the matrix for x, for h, of both together, the bias; with the gate for @
    "ours": ("W_@", "R_@", "W_@", "b_@", {}),
    "plain": ("W@", "U@", "W@", "b@", {"z": "c"}),
    "x_h": ("Wx@", "Wh@", "W_@", "b_@", {"z": "g"}),
    "under": ("W_x@", "W_h@", "W@", "b@", {"z": "c"}),
    "after": ("W_@x", "W_@h", "W_@", "b_@", {"z": "g"}),
}
STACKED = {"ours": ("W", "R", "W", "b"), "plain": ("W", "U", "W", "b"), "x_h": ("Wx", "Wh", "W", "b"),
           "under": ("W_x", "W_h", "W", "b"), "after": ("kernel", "recurrent_kernel", "W", "bias")}


@dataclass(frozen=True)
class Style:
    """One way to write a backward pass."""

    cell: str
    vectors: str  # rows, columns, flat
    batch: str  # second, first, one
    time: str  # first, last
    steps: str  # all, each
    transposed: bool
    matrices: str  # apart, hx, xh
    stacked: str  # "" or an order of the gates
    names: str
    held: str  # dict, arguments, attributes, made (arguments of the class), top
    answer: str  # d, same, grad, tuple, list, attributes
    state: bool  # takes the initial state
    final: bool  # takes the gradient of the final state
    inputs: bool  # gives the gradient of x
    hs: str  # list, dict, array
    row_bias: bool


def draw(rng: random.Random) -> Style:
    cell = rng.choice(list(CELLS))
    vectors, batch, time = rng.choice([
        ("rows", "second", "first"), ("rows", "first", "first"), ("columns", "one", "first"), ("columns", "second", "first"),
        ("flat", "one", "first"), ("rows", "one", "first"), ("columns", "second", "last"), ("rows", "second", "first"),
        ("columns", "one", "first"),
    ])
    steps = rng.choice(["all", "all", "all", "each"])
    if steps == "each":
        batch, time = {"first": "second"}.get(batch, batch), "first"
    held = rng.choice(["dict", "arguments", "attributes", "made", "top"])
    answers = ["d", "same", "grad", "tuple"] + (["list", "attributes"] if held in ("attributes", "made") else [])
    gates = CELLS[cell][0].split()
    stack = cell.startswith(("lstm", "peephole")) and rng.random() < 0.4 and vectors != "flat"
    rng.shuffle(gates)
    return Style(
        cell, vectors, batch, time, steps, rng.random() < 0.5, rng.choice(["apart", "hx", "xh"]),
        "".join(gates) if stack else "", rng.choice(list(NAMES)), held, rng.choice(answers),
        steps == "each" or rng.random() < 0.5, steps == "each" or rng.random() < 0.3,
        rng.random() < 0.5, rng.choice(["list", "dict", "array"]), vectors == "rows" and rng.random() < 0.3,
    )


class Writer:
    """Writes the file of a style, and its layout."""

    def __init__(self, style: Style):
        self.style = style
        order, self.peepholes = CELLS[style.cell]
        self.gates = order.split()
        self.biased = style.cell != "lstm_no_bias"
        self.lstm = "f" in self.gates
        first, second, both, bias, other = NAMES[style.names]
        self.called = {gate: other.get(gate, gate) if self.lstm else gate for gate in self.gates}
        patterns = STACKED[style.names] if style.stacked else (first, second, both, bias)
        self.first, self.second, self.both, self.bias = patterns
        self.states = ["h", "c"] if self.lstm else ["h"]

    # -- their arrays

    def arrays(self) -> dict[str, str]:
        """Their names, and what they hold in the words of a layout."""
        style, found = self.style, {}

        def matrix(name: str, inside: str) -> None:
            found[name] = f"transpose({inside})" if style.transposed else inside

        def vector(name: str, inside: str) -> None:
            shape = "column" if style.vectors == "columns" else "row" if style.row_bias else ""
            found[name] = f"{shape}({inside})" if shape else inside

        beside = {"hx": "R_{0}, W_{0}", "xh": "W_{0}, R_{0}"}.get(style.matrices)
        if style.stacked:
            if beside:
                matrix(self.both, f"[{'; '.join(beside.format(gate) for gate in style.stacked)}]")
            else:
                matrix(self.first, f"[{'; '.join(f'W_{gate}' for gate in style.stacked)}]")
                matrix(self.second, f"[{'; '.join(f'R_{gate}' for gate in style.stacked)}]")
            if self.biased:
                vector(self.bias, f"[{'; '.join(f'b_{gate}' for gate in style.stacked)}]")
        for gate in [] if style.stacked else self.gates:
            if beside:
                matrix(self.name(self.both, gate), f"[{beside.format(gate)}]")
            else:
                matrix(self.name(self.first, gate), f"W_{gate}")
                matrix(self.name(self.second, gate), f"R_{gate}")
            if self.biased:
                vector(self.name(self.bias, gate), f"b_{gate}")
        for gate in self.peepholes:
            vector(f"p_{gate}", f"p_{gate}")
        return found

    def name(self, pattern: str, gate: str) -> str:
        return pattern.replace("@", self.called[gate])

    def array(self, name: str) -> str:
        """How the code reads an array of its own."""
        return {"dict": f"params['{name}']", "attributes": f"self.{name}", "made": f"self.{name}"}.get(self.style.held, name)

    # -- algebra

    def times(self, name: str, vector: str) -> str:
        array, turned = self.array(name), self.style.transposed
        if self.style.vectors == "columns":
            return f"{array}{'.T' if turned else ''} @ {vector}"
        return f"{vector} @ {array}{'' if turned else '.T'}"

    def back(self, name: str, gradient: str) -> str:
        array, turned = self.array(name), self.style.transposed
        if self.style.vectors == "columns":
            return f"{array}{'' if turned else '.T'} @ {gradient}"
        return f"{gradient} @ {array}{'.T' if turned else ''}"

    def outer(self, gradient: str, vector: str) -> str:
        left, right = (vector, gradient) if self.style.transposed else (gradient, vector)
        if self.style.vectors == "flat":
            return f"np.outer({left}, {right})"
        return f"{left} @ {right}.T" if self.style.vectors == "columns" else f"{left}.T @ {right}"

    def summed(self, gradient: str) -> str:
        if self.style.vectors == "flat":
            return gradient
        if self.style.vectors == "columns":
            return f"({gradient}).sum(1, keepdims=True)"
        return f"({gradient}).sum(0{', keepdims=True' if self.style.row_bias else ''})"

    @property
    def axis(self) -> int:
        return 0 if self.style.vectors == "columns" else -1

    def beside(self, h: str) -> str:
        parts = f"{h}, x" if self.style.matrices == "hx" else f"x, {h}"
        return f"np.concatenate(({parts}), {self.axis})"

    # -- one step

    def forward_step(self) -> list[str]:
        """From x, h_prev (and c_prev) to h (and c)."""
        style, lines = self.style, []
        if style.stacked:
            if style.matrices == "apart":
                total = f"{self.times(self.first, 'x')} + {self.times(self.second, 'h_prev')}"
            else:
                lines.append(f"v = {self.beside('h_prev')}")
                total = self.times(self.both, "v")
            lines.append(f"a = {total}" + (f" + {self.array(self.bias)}" if self.biased else ""))
            lines.append(f"{', '.join(f'a_{gate}' for gate in style.stacked)} = np.split(a, 4, {self.axis})")
        for gate in self.gates:
            if gate == "o" and self.peepholes:
                lines.append("c = f * c_prev + i * z")
            reads = "r * h_prev" if gate == "n" else "h_prev"
            if not style.stacked and style.matrices != "apart":
                lines.append(f"v_{gate} = {self.beside(reads)}")
                total = self.times(self.name(self.both, gate), f"v_{gate}")
            elif not style.stacked:
                reads = f"({reads})" if " " in reads else reads
                total = f"{self.times(self.name(self.first, gate), 'x')} + {self.times(self.name(self.second, gate), reads)}"
            else:
                total = f"a_{gate}"
            if not style.stacked and self.biased:
                total += f" + {self.array(self.name(self.bias, gate))}"
            if gate in self.peepholes:
                total += f" + {self.array(f'p_{gate}')} * {self.peepholes[gate]}"
            lines.append(f"{gate} = {'np.tanh' if gate in ('z', 'n', 'h') and self.is_tanh(gate) else 'sigmoid'}({total})")
        if self.lstm:
            if not self.peepholes:
                lines.append("c = f * c_prev + i * z")
            lines.append("h = o * np.tanh(c)")
        elif "n" in self.gates:
            lines.append("h = z * h_prev + (1 - z) * n")
        return lines

    def is_tanh(self, gate: str) -> bool:
        return gate in ("n", "h") or self.lstm

    def backward_step(self) -> list[str]:
        """From dh (and dc) of this step to those of the step before, with the gradients added up in g."""
        style, lines, peep = self.style, [], self.peepholes
        if self.lstm:
            carried = "".join(f" + da_{gate} * {self.array(f'p_{gate}')}" for gate in "fi" if gate in peep)
            lines += ["da_o = dh * np.tanh(c) * o * (1 - o)",
                      "dc = dc + dh * o * (1 - np.tanh(c) ** 2)" + (f" + da_o * {self.array('p_o')}" if "o" in peep else ""),
                      "da_f = dc * c_prev * f * (1 - f)", "da_i = dc * z * i * (1 - i)", "da_z = dc * i * (1 - z ** 2)",
                      f"dc_prev = dc * f{carried}"]
            lines.append("dh_prev = 0")
        elif "n" in self.gates:
            lines += ["da_n = dh * (1 - z) * (1 - n ** 2)", "da_z = dh * (h_prev - n) * z * (1 - z)", "dh_prev = dh * z"]
            name = self.name(self.second if style.matrices == "apart" else self.both, "n")
            back = self.back(name, "da_n")
            lines.append(f"drh = {self.part(back, 'h')}" if style.matrices != "apart" else f"drh = {back}")
            lines += ["da_r = drh * h_prev * r * (1 - r)", "dh_prev = dh_prev + drh * r"]
        else:
            lines += ["da_h = dh * (1 - h ** 2)", "dh_prev = 0"]
        lines.append("dx = 0")
        if style.stacked:
            lines.append(f"da = np.concatenate(({', '.join(f'da_{gate}' for gate in style.stacked)}), {self.axis})")
            lines += self.gathered("da", self.first, self.second, self.both, self.bias, "v", "h_prev", True)
        for gate in [] if style.stacked else self.gates:
            names = (self.name(pattern, gate) for pattern in (self.first, self.second, self.both, self.bias))
            seen = "(r * h_prev)" if gate == "n" else "h_prev"
            lines += self.gathered(f"da_{gate}", *names, f"v_{gate}", seen, gate != "n")
        lines += [f"g['p_{gate}'] = g['p_{gate}'] + {self.summed(f'da_{gate} * {peep[gate]}')}" for gate in peep]
        return lines

    def part(self, whole: str, which: str) -> str:
        """The part of a gradient at [h, x] that belongs to h or x."""
        first = (self.style.matrices == "hx") == (which == "h")
        size = f"{'h_prev' if which == 'h' else 'x'}.shape[{self.axis}]"
        rows = self.style.vectors in ("columns", "flat")
        cut = f":{size}" if first else f"-{size}:"
        return f"({whole})[{cut}]" if rows else f"({whole})[..., {cut}]"

    def gathered(self, d: str, first: str, second: str, both: str, bias: str, v: str, seen: str, to_h: bool) -> list[str]:
        lines = []
        if self.style.matrices == "apart":
            lines += [f"g['{first}'] = g['{first}'] + {self.outer(d, 'x')}",
                      f"g['{second}'] = g['{second}'] + {self.outer(d, seen)}",
                      f"dx = dx + {self.back(first, d)}"]
            lines += [f"dh_prev = dh_prev + {self.back(second, d)}"] if to_h else []
        else:
            lines += [f"g['{both}'] = g['{both}'] + {self.outer(d, v)}", f"dv = {self.back(both, d)}",
                      f"dx = dx + {self.part('dv', 'x')}"]
            lines += [f"dh_prev = dh_prev + {self.part('dv', 'h')}"] if to_h else []
        return lines + ([f"g['{bias}'] = g['{bias}'] + {self.summed(d)}"] if self.biased else [])

    # -- the whole

    def at(self, sequence: str) -> str:
        style = self.style
        return sequence + ("[:, t]" if style.batch == "first" else "[:, :, t]" if style.time == "last" else "[t]")

    def stacked_back(self, values: str) -> str:
        axis = 1 if self.style.batch == "first" else 2 if self.style.time == "last" else 0
        return f"np.stack({values}, {axis})"

    def count(self, sequence: str) -> str:
        style = self.style
        axis = 1 if style.batch == "first" else 2 if style.time == "last" else 0
        return f"{sequence}.shape[{axis}]" if axis else f"len({sequence})"

    def zero(self, like: str) -> str:
        first = next(name for name in self.arrays())
        bias = self.style.vectors
        size = f"({self.array(first)}.shape[{1 if self.style.transposed else 0}]{' // 4' if self.style.stacked else ''})"
        if bias == "flat":
            return f"np.zeros({size})"
        examples = {"first": f"{like}.shape[0]", "one": "1"}.get(self.style.batch, f"{like}.shape[1]")
        if bias == "columns" and self.style.batch == "second" and self.style.time == "first":
            examples = f"{like}.shape[2]"
        return f"np.zeros(({size}, {examples}))" if bias == "columns" else f"np.zeros(({examples}, {size}))"

    def kept(self) -> str:
        return ", ".join(["x", "h_prev", "h", *(["c_prev", "c"] if self.lstm else []), *(g for g in self.gates if g != "h"),
                          *(["v"] if self.style.stacked and self.style.matrices != "apart" else []),
                          *(f"v_{g}" for g in self.gates if not self.style.stacked and self.style.matrices != "apart")])

    def arguments(self) -> list[str]:
        return {"dict": ["params"], "arguments": list(self.arrays())}.get(self.style.held, [])

    def gradients(self, more: list[tuple[str, str]]) -> list[str]:
        """The return statement, and what is set before it."""
        style, names = self.style, list(self.arrays())
        written = {"d": "d", "grad": "grad_", "same": ""}.get(style.answer)
        if written is not None:
            extra = "".join(f", '{key}': {value}" for key, value in more)
            return [f"return {{**{{'{written}' + key: value for key, value in g.items()}}{extra}}}"]
        if style.answer == "tuple":
            lines = [f"d{name} = g['{name}']" for name in names] + [f"{key} = {value}" for key, value in more if key != value]
            parts = [*(key for key, _ in more), *(f"d{name}" for name in names)]
            return [*lines, f"return {', '.join(parts)}{',' * (len(parts) == 1)}"]
        lines = [f"self.d{name} = g['{name}']" for name in names] if style.answer == "attributes" else [
            f"self.grads = [{', '.join(f'g[{name!r}]' for name in names)}]"]
        return [*lines, *(f"{key} = {value}" for key, value in more if key != value),
                *([f"return {', '.join(key for key, _ in more)}"] if more else [])]

    def text(self) -> str:
        body = self.each() if self.style.steps == "each" else self.all()
        top = [f"{name} = np.zeros((1, 1))" for name in self.arrays()] if self.style.held == "top" else []
        sigmoid = ["def sigmoid(a):", "    return 1 / (1 + np.exp(-a))"]
        return "\n".join(["import numpy as np", "", *top, "", *sigmoid, "", *body, ""])

    def start(self) -> list[str]:
        return [f"g = {{{', '.join(f'{name!r}: np.zeros_like({self.array(name)})' for name in self.arrays())}}}"]

    def all(self) -> list[str]:
        style = self.style
        forward = []
        if not style.state:
            forward += [f"h_prev = {self.zero('xs')}"] + (["c_prev = h_prev"] if self.lstm else [])
        forward += [f"hs, caches = {'{}, {}' if style.hs == 'dict' else '[], []'}", f"for t in range({self.count('xs')}):"]
        forward += [f"    x = {self.at('xs')}", *(f"    {line}" for line in self.forward_step())]
        appended = ["    hs.append(h)", f"    caches.append(({self.kept()},))"]
        forward += [f"    hs[t], caches[t] = h, ({self.kept()},)"] if style.hs == "dict" else appended
        forward += ["    h_prev" + (", c_prev = h, c" if self.lstm else " = h")]
        given = "hs" if style.hs != "array" and style.batch != "first" and style.time != "last" else self.stacked_back(
            "list(hs.values())" if style.hs == "dict" else "hs")
        forward += [f"hs = {given}"] if given != "hs" else []
        backward = [*self.start(), f"dh_next = {'dh_last' if style.final else '0'}"]
        backward += [f"dc_next = {'dc_last' if style.final else '0'}"] if self.lstm else []
        backward += ["dxs = [None] * len(caches)",
                     "for t in reversed(range(len(caches))):", f"    {self.kept()}, = caches[t]",
                     f"    dh = {self.at('dhs')} + dh_next", *(["    dc = dc_next"] if self.lstm else []),
                     *(f"    {line}" for line in self.backward_step()), "    dxs[t] = dx",
                     "    dh_next" + (", dc_next = dh_prev, dc_prev" if self.lstm else " = dh_prev")]
        more = [("dxs", self.stacked_back("dxs"))] if style.inputs else []
        more += [(f"d{name}0", f"d{name}_next") for name in self.states] if style.state else []
        backward += self.gradients(more)
        states = [f"{name}_prev" for name in self.states] if style.state else []
        final = [f"d{name}_last" for name in self.states] if style.final else []
        return self.defined(["xs", *states], forward, "hs, caches", ["caches", "dhs", *final], backward)

    def each(self) -> list[str]:
        before = [f"{name}_prev" for name in self.states]
        forward = [*self.forward_step(), f"cache = ({self.kept()},)"]
        backward = [f"{self.kept()}, = cache", *self.start(), "dh = dh_next", *(["dc = dc_next"] if self.lstm else []),
                    *self.backward_step()]
        more = [("dx", "dx")] if self.style.inputs else []
        more += [(f"d{name}_prev", f"d{name}_prev") for name in self.states]
        return self.defined(["x", *before], forward, ", ".join([*self.states, "cache"]),
                            ["cache", *(f"d{name}_next" for name in self.states)], backward + self.gradients(more))

    def defined(self, taken: list[str], forward: list[str], given: str, back: list[str], backward: list[str]) -> list[str]:
        style, names = self.style, list(self.arrays())
        if style.held in ("attributes", "made"):
            cache = "cache" if "cache" in back else "caches"
            made = names if style.held == "made" else ["n_x", "n_h"]
            lines = ["class Cell:", f"    def __init__(self, {', '.join(made)}):"]
            lines += [f"        self.{name} = {name if style.held == 'made' else 'np.zeros((n_h, n_x))'}" for name in names]
            lines += [f"    def forward(self, {', '.join(taken)}):", *(f"        {line}" for line in forward),
                      f"        self.{cache} = {cache}",
                      f"        return {given.removesuffix(f', {cache}')}"]
            return [*lines, f"    def backward(self, {', '.join(back[1:])}):", f"        {cache} = self.{cache}",
                    *(f"        {line}" for line in backward)]
        own = self.arguments()
        return [f"def forward({', '.join([*taken, *own])}):", *(f"    {line}" for line in forward), f"    return {given}", "",
                f"def backward({', '.join([*back, *own])}):", *(f"    {line}" for line in backward)]

    def layout(self) -> str:
        """What has to be said of it: never more than six lines."""
        pairs = ", ".join(f'{name}: "{inside}"' for name, inside in self.arrays().items())
        time = ["time: last"] if self.style.time == "last" else []
        return "\n".join([f"vectors: {self.style.vectors}", f"batch: {self.style.batch}", *time, f"steps: {self.style.steps}",
                          f"parameters: {{{pairs}}}", ""])


def hand_in(style: Style, folder: Path, layout: bool) -> tuple[int, str]:
    """0 where it holds, 1 where it is called wrong, 2 where it is not judged; and what was said."""
    from lstmgen.auditing.foreign import ForeignError
    from lstmgen.auditing.theirs.judging import audit_code
    from lstmgen.auditing.theirs.reading import read
    from lstmgen.derivation.build import build_graph
    from lstmgen.resources import find_spec
    from lstmgen.spec.reader import load

    path = find_spec(style.cell)
    assert path is not None
    graph = build_graph(load(path))
    writer = Writer(style)
    file = folder / "theirs.py"
    file.write_text(writer.text())
    try:
        found = audit_code(graph, file, read(writer.layout(), graph) if layout else None)
    except ForeignError as error:
        return 2, str(error)
    return int(not found.holds), str(found)


def main(count: int, seed: int) -> int:
    rng, tally = random.Random(seed), Counter()
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            style = draw(rng)
            for layout in (True, False):
                status, said = hand_in(style, Path(folder), layout)
                tally[layout, status] += 1
                if status == 1 or layout and status:
                    bad += 1
                    told = ", ".join(f"{field.name}={getattr(style, field.name)!r}" for field in fields(style))
                    print(f"{number} {'with' if layout else 'without'} layout, status {status}: Style({told})\n{said}\n")
    for layout in (True, False):
        told = ", ".join(f"{tally[layout, status]} {word}" for status, word in ((0, "hold"), (1, "wrong"), (2, "not judged")))
        print(f"{'with' if layout else 'without'} a layout: {told}")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
