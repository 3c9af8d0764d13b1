"""From a plan to the text of the NumPy module.

`forward`, `step` and `backward` are lists of lines made here; the template holds everything that is
the same for every cell. A stage is one line, a fork is one line per reader, and each carries the number
of its equation in the document. Which values are arrays over time, which products are stacked and
where the loop begins is the plan's to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ... import __version__
from ...derivation.chain import START, TRANSPOSED, Contribution, Gradient
from ...derivation.graph import Stage
from ...language import functions
from ...language.expressions import Adjoint, Call, Expression, MatVec, Number, Outside, Product, Sum, Value, values, walk
from ...language.names import RESERVED
from ...language.shapes import Dim, Shape
from ...language.text import ATOM, PRODUCT, SUM, source
from ...schedule.plan import (
    AFTER, BEFORE, LAST, LOOP, STILL, BiasStack, Block, Gates, Plan, Stack, block_size, is_there_first,
)
from ..render import render, template_text
from .spelling import Spelled, Speller, is_fill

WHOLE, EACH, FINAL, SINGLE = "whole", "each", "final", "single"  # all steps, step t, the last step, `step`
WIDTH = 100
LONGEST = 120  # of a line with its comment; beyond, the comment stands above
COMMENT_COLUMN = 58
_OUTSIDE = "from outside"


@dataclass(frozen=True)
class Line:
    """One line of code and the comment behind it."""

    code: str
    comment: str = ""


@dataclass(frozen=True)
class Field:
    """One field of a named tuple, with its shape in words."""

    name: str
    shape: str
    note: str = ""


def module_source(plan: Plan, verified: bool, checkpoint: int | None = None) -> str:
    """The text of the module. `verified` says whether its header has to warn.

    With `checkpoint`, its tape keeps the state at every so many steps, and the steps between are computed anew.
    """
    context = _Module(plan, checkpoint).context()
    return render("numpy/module.py.jinja", {**context, "version": __version__, "verified": verified})


class _Module:
    def __init__(self, plan: Plan, checkpoint: int | None = None):
        self.plan, self.graph, self.checkpoint = plan, plan.graph, checkpoint
        self.derivation = plan.derivation
        self.helpers: set[str] = set()  # helper functions that the module's code calls
        self._named_helpers: dict[object, str] = {}
        self.taken = set(self.graph.shapes) | {symbol for symbol, _ in self.graph.dims} | RESERVED
        self.taken |= {f"d_{name}" for name in self.graph.shapes}
        self.taken |= {stack.name for block in plan.blocks for stack in (*block.stacks, *block.biases)}
        self.T, self.B = self.fresh("T"), self.fresh("B")
        self.previous = {state: self.fresh(f"{state}_prev") for state in self.graph.states}
        self.now = {name: self.fresh(f"{name}_t") for name in self.graph.inputs}
        self.next = {name: self.fresh(f"d_{name}_next") for name in self._carried()}
        self.block_of = {stage: block for block in plan.blocks for stage in block.stages}
        self.block_gradient = {
            block: f"d_{block.stages[0]}" if len(block.stages) == 1 else self.fresh("d_pre") for block in plan.blocks
        }
        self.gates_of = {name: gates for gates in plan.gates for name in (*gates.pre_activations, *gates.stages)}
        self.bundles: dict[tuple, str] = {}  # what holds which stack's product, where
        self._every: dict[str, str] = {}  # each state's array with its start in front
        self.stack_of = {
            (factor.stage, factor.parameter): stack
            for block in plan.blocks for stack in block.stacks for factor in stack.factors
        }
        self.bias_of = {
            factor.stage: (bias, factor)
            for block in plan.blocks for bias in block.biases for factor in bias.factors
        }
        self.stored = self._stored()
        self.arrays = self._arrays()
        self.read_adjoints = {
            node.name for fork in self.derivation.contributions() for node in walk(fork.at_reader)
            if isinstance(node, Adjoint)
        }
        self.after_products: dict[Stack, str] = {}
        self.ends = self.fresh("ends") if checkpoint and plan.stages_in(LAST) else ""  # whether T is in this part
        self.turned: dict[str, str] = {}  # matrices that a loop reads transposed: the names of the copies

    def fresh(self, wanted: str, key: object = None) -> str:
        """A name for a helper of the module; the spec's own names come first. Asked twice for one key: the same."""
        if key in self._named_helpers:
            return self._named_helpers[key]
        name = wanted
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        if key is not None:
            self._named_helpers[key] = name
        return name

    def _carried(self) -> tuple[str, ...]:
        """Values to whose adjoint a later step, or a loss at the last step, contributes."""
        late = [
            gradient.value for gradient in self.plan.gradients_in(LOOP)
            if gradient.value not in self.graph.states
            and any(self.plan.phases.get(fork.reader) == LAST for fork in gradient.forks)
        ]
        return (*self.graph.states, *late)

    def _stored(self) -> dict[str, tuple[tuple[str, Shape], ...]]:
        """The stored arrays: each with the spec's parameters it holds, from the top, and their shapes."""
        shapes, stored, inside = self.graph.shapes, {}, {}
        for block in self.plan.blocks:
            for stack in (*block.stacks, *block.biases):
                for factor in stack.factors:
                    inside[factor.parameter] = stack
        for parameter in self.graph.parameters:
            stack = inside.get(parameter)
            if stack is None:
                stored[parameter] = ((parameter, shapes[parameter]),)
            elif stack.name not in stored:
                stored[stack.name] = tuple((f.parameter, shapes[f.parameter]) for f in stack.factors)
        return stored

    def _arrays(self) -> frozenset[str]:
        """Loop stages whose values at all steps something needs."""
        needed = set(self.plan.kept) | set(self.graph.states) | set(self.graph.outputs)
        for stage in self.plan.stages_in(AFTER, LAST):
            needed.update(value.name for value in values(stage.expression))
        return frozenset(name for name in needed if self.plan.phases.get(name) == LOOP)

    # ------------------------------------------------------------------ names of values at a place

    def name_of(self, mode: str) -> Callable[[Expression], str]:
        phases, graph = self.plan.phases, self.graph
        index = {EACH: "[t]", FINAL: "[-1]"}.get(mode, "")

        def value(leaf: Value) -> str:
            name = leaf.name
            if name in graph.static:
                return name
            if name in graph.inputs or name in graph.targets:
                return self.now[name] if mode == SINGLE else name + index
            if leaf.lag:
                return self.previous[name] + index
            if mode == EACH and phases[name] == LOOP and name not in self.arrays:
                return name
            if mode == FINAL and phases[name] == LAST:
                return name
            return name + index

        def adjoint(leaf: Adjoint) -> str:
            name = leaf.name
            if mode == EACH and phases[name] == LOOP and name not in self.plan.remembered:
                return f"d_{name}"
            if phases[name] in (LAST, STILL):
                return f"d_{name}"
            return f"d_{name}" + index

        def outside(leaf: Outside) -> str:
            return ("dy" if len(graph.outputs) == 1 else f"dy.{leaf.name}") + index

        return lambda leaf: value(leaf) if isinstance(leaf, Value) else (
            adjoint(leaf) if isinstance(leaf, Adjoint) else outside(leaf))

    def speller(self, mode: str) -> Speller:
        speller = Speller(self.graph.shapes, self.graph.static, self.name_of(mode), all_steps=mode == WHOLE)
        speller.helpers = self.helpers
        if mode == EACH:
            speller.turned = self._turned
        return speller

    def _turned(self, matrix: str) -> str:
        return self.turned.setdefault(matrix, self.fresh(f"{matrix}_T", ("turned", matrix)))

    def _turned_matrices(self) -> list[Line]:
        """Copies of the matrices that the loop reads transposed: BLAS is slow where a few rows meet A.T."""
        lines = []
        for matrix, name in self.turned.items():
            self.helpers.add("transposed")
            code = f"{name} = _transposed({matrix}) if {self.B} > 1 else {matrix}.T"
            lines.append(Line(code, "laid out as the loop reads it"))
        self.turned.clear()
        return lines

    # ------------------------------------------------------------------ forward

    def forward(self) -> list[Line]:
        plan, lines = self.plan, []
        for stage in plan.stages_in(STILL):
            lines.append(self._stage_line(stage, WHOLE))
        lines += self._starting_products((BEFORE,), WHOLE)
        lines += self._stages(plan.stages_in(BEFORE), WHOLE)
        lines += self._hoisted_products()
        loop = plan.stages_in(LOOP)
        if loop:
            lines += self._allocations()
            body = self._starting_products((LOOP,), EACH) + self._stages(loop, EACH)
            lines += [*self._turned_matrices(), Line(f"for t in range({self.T}):"), *_indented(body)]
        for phase, mode in ((AFTER, WHOLE), (LAST, FINAL)):
            lines += self._starting_products((phase,), mode)
            lines += self._stages(plan.stages_in(phase), mode)
        return lines

    def single_step(self) -> list[Line]:
        """The body of `step`: every stage but the loss's, for one step and without a tape."""
        plan = self.plan
        self.bundles.clear()
        lines = [self._stage_line(stage, SINGLE) for stage in plan.stages_in(STILL)
                 if stage.name not in self.derivation.loss_stages]
        for phase in (BEFORE, LOOP, AFTER):
            lines += self._starting_products((phase,), SINGLE)
            stages = [s for s in plan.stages_in(phase) if s.name not in self.derivation.loss_stages]
            lines += self._stages(stages, SINGLE)
        self.bundles.clear()
        return lines

    def _stages(self, stages: Iterable[Stage], mode: str) -> list[Line]:
        lines: list[Line] = []
        parts: dict[str, str] = {}  # of what one call has computed for several gates
        for stage in stages:
            gates = self.gates_of.get(stage.name)
            if gates and stage.name in gates.pre_activations:
                continue
            if gates and stage.name not in parts:
                name, line = self._gates_line(gates, mode)
                lines.append(line)
                parts |= {gate: name + self._part(gates.stages, gate, gate, ":, ") for gate in gates.stages}
            lines.append(self._stage_line(stage, mode, parts.get(stage.name)))
            lines += self._products_of(stage, mode)
        return lines

    def _gates_line(self, gates: Gates, mode: str) -> tuple[str, Line]:
        """The name of several gates side by side, and the call that computes them."""
        name = self.fresh("gates", gates)
        first, *_, last = gates.pre_activations
        operand = Spelled(self._right_side(self.graph.stage(first), mode, last), SUM, 1, True)
        code = self.speller(mode).applied(functions.TABLE[gates.function], [operand]).text
        numbers = ", ".join(f"({self.plan.numbers[stage]})" for stage in gates.pre_activations)
        return name, Line(f"{name} = {code}", f"{numbers}: {', '.join(gates.stages)}, side by side")

    def _allocations(self) -> list[Line]:
        """Arrays over time; a state's has one entry more, for where it starts."""
        T, B, lines = self.T, self.B, []
        for state in self.graph.states:
            shape = self._axes(self.graph.shapes[state], f"{T} + 1", B)
            every = self._every[state] = self.fresh(f"{state}_all")
            lines.append(Line(f"{every} = np.empty({shape}, dtype)"))
            lines.append(Line(f"{every}[0] = state.{state}"))
            lines.append(Line(f"{self.previous[state]}, {state} = {every}[:-1], {every}[1:]",
                              f"{self.previous[state]}[t] is {state} one step earlier"))
        by_shape: dict[Shape, list[str]] = {}
        for stage in self.plan.stages_in(LOOP):
            if stage.name in self.arrays and stage.name not in self.graph.states:
                by_shape.setdefault(stage.shape, []).append(stage.name)
        for shape, names in by_shape.items():
            if len(names) == 1:
                lines.append(Line(f"{names[0]} = np.empty({self._axes(shape, T, B)}, dtype)"))
            else:
                lines += _wrapped_unpacking(names, f"np.empty({self._axes(shape, str(len(names)), T, B)}, dtype)")
        return lines

    def _axes(self, shape: Shape, *leading: str) -> str:
        axes = [*leading, *(_code(dim) for dim in shape)]
        return f"({', '.join(axes)}{',' * (len(axes) == 1)})"

    # --- products of a stack

    def _at_start(self, stack: Stack) -> bool:
        return is_there_first(stack, self.plan.phases)

    def _hoisted(self, stack: Stack) -> bool:
        """Whether a loop's product can be done for all steps at once, before the loop."""
        phase = self.plan.phases.get(stack.vector.name, BEFORE)
        return stack.phase == LOOP and phase == BEFORE

    def _hoisted_products(self) -> list[Line]:
        lines = []
        for block in self.plan.blocks:
            for stack in block.stacks:
                if not self._hoisted(stack):
                    continue
                stages = tuple(factor.stage for factor in stack.factors)
                if ("added to", stages) not in self.bundles and self._added_to(block, stack):
                    name = self.fresh("pre", ("pre", stages))
                    self.bundles[("added to", stages)] = name
                else:
                    name = self.fresh(f"{stack.name}_{stack.vector.name}")
                self.bundles[("hoisted", stack)] = name
                lines.append(Line(f"{name} = {self._product(stack, WHOLE)}",
                                  f"for all steps at once: {', '.join(stages)}"))
                bias = self._bias_with(block, stack)
                if bias:
                    lines.append(Line(f"{name} += {bias.removeprefix(' + ')}"))
        return lines

    def _added_to(self, block: Block, stack: Stack) -> bool:
        """Whether the loop adds a product of the state, for the same stages, to this one of the input."""
        stages = [factor.stage for factor in stack.factors]
        return len(stages) > 1 and any(
            [factor.stage for factor in other.factors] == stages and self._at_start(other) and not self._hoisted(other)
            for other in block.stacks
        )

    def _bias_with(self, block: Block, stack: Stack) -> str:
        """The biases, where they lie exactly beside the stack and nothing has added them yet."""
        stages = [factor.stage for factor in stack.factors]
        for bias in block.biases:
            if [factor.stage for factor in bias.factors] == stages and ("bias", bias) not in self.bundles:
                self.bundles[("bias", bias)] = ""
                return f" + {bias.name}"
        return ""

    def _starting_products(self, phases: tuple[str, ...], mode: str) -> list[Line]:
        """Products that are there before the first stage: those of equal extent in one sum."""
        lines = []
        for block in self.plan.blocks:
            if block.phase not in phases:
                continue
            ready: dict[tuple[str, ...], list[Stack]] = {}
            for stack in block.stacks:
                if self._at_start(stack) and len(stack.factors) > 1:
                    ready.setdefault(tuple(f.stage for f in stack.factors), []).append(stack)
            for stages, stacks in ready.items():
                if mode == EACH and len(stacks) == 1 and self._hoisted(stacks[0]):
                    continue  # its slices are read where they lie
                bias = "".join(self._bias_with(block, stack) for stack in stacks[:1]) if not (
                    mode == EACH and any(self._hoisted(stack) for stack in stacks)) else ""
                terms = [self._product(stack, mode) for stack in stacks]
                name = self.fresh("pre", ("pre", stages))
                here = name
                if mode == EACH and ("added to", stages) in self.bundles:
                    here = f"{name}[t]"
                    terms.remove(here)
                sign = "=" if here == name else "+="
                for stack in stacks:
                    self.bundles[("in bundle", mode, stack)] = here
                lines.append(Line(f"{here} {sign} {' + '.join(terms)}{bias}", f"{', '.join(stages)}, side by side"))
        return lines

    def _product(self, stack: Stack, mode: str) -> str:
        if mode == EACH and ("hoisted", stack) in self.bundles:
            return self.bundles[("hoisted", stack)] + "[t]"
        speller = self.speller(mode)
        return speller.product(speller.spell(stack.vector), stack.name, turned=True).text

    def _products_of(self, stage: Stage, mode: str) -> list[Line]:
        """Stacks whose vector has just been computed."""
        lines = []
        for block in self.plan.blocks:
            for stack in block.stacks:
                if stack.vector == Value(stage.name) and len(stack.factors) > 1 and not self._at_start(stack):
                    name = self.bundles[("later", mode, stack)] = self.fresh(f"{stack.name}_{stage.name}", ("later", stack))
                    stages = ", ".join(factor.stage for factor in stack.factors)
                    code = f"{name} = {self._product(stack, mode)}{self._bias_with(block, stack)}"
                    lines.append(Line(code, f"{stages}, side by side"))
        return lines

    # --- one stage

    def _stage_line(self, stage: Stage, mode: str, text: str | None = None) -> Line:
        text = text or self._right_side(stage, mode)
        if mode == SINGLE and stage.name in self.graph.states and _is_view(stage.expression):
            text += ".copy()"  # who writes to x_t afterwards does not write to the state
        left = stage.name
        if mode == EACH and stage.name in self.arrays:
            left += "[t]"
        return Line(f"{left} = {text}", f"({self.plan.numbers[stage.name]})")

    def _right_side(self, stage: Stage, mode: str, last: str = "") -> str:
        """The code of a stage; with `last`, of all stages of its block up to that one, side by side."""
        last = last or stage.name
        speller = self.speller(mode)
        terms = stage.expression.terms if isinstance(stage.expression, Sum) else (stage.expression,)
        stacked, rest, bundled = [], [], set()
        # products first: one of them may bring the bias along
        pieces = {term: self._stacked_piece(stage, term, mode, bundled, last)
                  for term in sorted(terms, key=lambda term: not isinstance(term, MatVec))}
        for term in terms:
            piece = pieces[term]
            if piece is None:
                rest.append(term)
            elif piece:
                stacked.append(piece)
        if rest:
            spelled = speller.spell(Sum(tuple(rest)) if len(rest) > 1 else rest[0])
            if not stacked:
                if not spelled.moving and stage.name not in self.graph.static:
                    leading = {WHOLE: (self.T, self.B)}.get(mode, (self.B,))
                    return f"np.broadcast_to({spelled.text}, {self._axes(stage.shape, *leading)})"
                return spelled.text
            text = spelled.widened(len(stage.shape)).inside(SUM)  # a scalar is added to every entry
            join = " - " if text.startswith("-") else " + "
            return " + ".join(stacked) + join + text.removeprefix("-")
        return " + ".join(stacked)

    def _stacked_piece(self, stage: Stage, term: Expression, mode: str, bundled: set[str], last: str) -> str | None:
        """The code of a term that some stack computes: '' if it is in there already, None if none does."""
        if isinstance(term, MatVec) and isinstance(term.matrix, Value):
            stack = self.stack_of.get((stage.name, term.matrix.name))
            if stack is not None and stack.vector == term.vector:
                return self._slice_of_product(stage, stack, mode, bundled, last)
        if isinstance(term, Value) and stage.name in self.bias_of:
            bias, factor = self.bias_of[stage.name]
            if factor.parameter == term.name:
                if ("bias", bias) in self.bundles:
                    return ""
                return bias.name + self._slice(bias, stage.name, last, "")
        return None

    def _slice_of_product(self, stage: Stage, stack: Stack, mode: str, bundled: set[str], last: str) -> str:
        name = self.bundles.get(("in bundle", mode, stack)) or self.bundles.get(("later", mode, stack))
        if name is not None:
            if name in bundled:
                return ""
            bundled.add(name)
            if name.endswith("[t]"):
                return name.removesuffix("]") + self._slice(stack, stage.name, last, ", :, ").removeprefix("[")
            return name + self._slice(stack, stage.name, last, "..., " if mode == WHOLE else ":, ")
        if ("hoisted", stack) in self.bundles:
            name = self.bundles[("hoisted", stack)]
            part = self._slice(stack, stage.name, last, ":, ")
            return f"{name}[t, {part[1:]}" if part else f"{name}[t]"
        bias = self._bias_with(self.block_of[stage.name], stack)
        return self._product(stack, mode) + bias

    def _slice(self, stack: Stack | BiasStack, first: str, last: str, before: str) -> str:
        """Where stages lie in a stack, as an index; nothing for a stack of one."""
        stages = tuple(factor.stage for factor in stack.factors)
        return self._part(stages, first, last, before) if len(stages) > 1 else ""

    def _part(self, stages: tuple[str, ...], first: str, last: str, before: str) -> str:
        """Where the stages from `first` to `last` lie among `stages` side by side, as an index."""
        low = Dim()
        for stage in stages[:stages.index(first)]:
            low += self.graph.shapes[stage][0]
        high = low
        for stage in stages[stages.index(first):stages.index(last) + 1]:
            high += self.graph.shapes[stage][0]
        return f"[{before}{_code(low, tight=True)}:{_code(high, tight=True)}]"

    # ------------------------------------------------------------------ backward

    def backward(self) -> list[Line]:
        plan = self.plan
        lines: list[Line] = []
        lines += self._at_the_end(self._whole_gradients(LAST, FINAL))
        lines += self._whole_gradients(AFTER, WHOLE)
        lines += self._after_products()
        if plan.stages_in(LOOP):
            lines += self._loop_gradients()
        lines += self._whole_gradients(BEFORE, WHOLE)
        lines += self._input_gradients()
        lines += self._whole_gradients(STILL, WHOLE)
        return lines

    def _at_the_end(self, lines: list[Line]) -> list[Line]:
        """Lines for the last step alone: between checkpoints they hold for the last part alone."""
        return [Line(f"if {self.ends}:"), *_indented(lines)] if self.ends and lines else lines

    def _whole_gradients(self, phase: str, mode: str) -> list[Line]:
        lines = self._block_arrays(phase, mode)
        for gradient in self.plan.gradients_in(phase):
            if gradient.value not in self.read_adjoints:
                continue
            left = f"d_{gradient.value}"
            block = self.block_of.get(gradient.value)
            if block is not None and len(block.stages) > 1:
                left += "[...]"
            forks, last = self._apart(gradient.forks, mode)
            lines += self._fork_statement(left, gradient, forks, mode, still=phase == STILL, own=bool(last))
            lines += self._added_at_last(f"d_{gradient.value}", gradient, last)
        return lines

    def _apart(self, forks: tuple[Contribution, ...], mode: str):
        """Forks at every step, and those through a loss at the last step alone."""
        if mode == FINAL:
            return forks, ()
        last = tuple(fork for fork in forks if self.plan.phases.get(fork.reader) == LAST and not fork.over_time)
        return tuple(fork for fork in forks if fork not in last), last

    def _added_at_last(self, left: str, gradient: Gradient, last: tuple[Contribution, ...]) -> list[Line]:
        lines = []
        for text, comment in self._pieces(last, FINAL):
            lines.append(Line(f"{left}[-1] += {text}", f"({self.plan.gradient_numbers[gradient.value]}) {comment}"))
        return self._at_the_end(lines)

    def _block_arrays(self, phase: str, mode: str) -> list[Line]:
        lines = []
        for block in self.plan.blocks:
            if block.phase != phase:
                continue
            leading = {FINAL: (self.B,)}.get(mode, (self.T, self.B))
            name = self.block_gradient[block]
            if len(block.stages) == 1:
                if phase == LOOP:
                    shape = self._axes(self.graph.shapes[block.stages[0]], *leading)
                    lines.append(Line(f"{name} = np.empty({shape}, dtype)"))
                continue
            size = block_size(block, self.graph)
            lines.append(Line(f"{name} = np.empty({self._axes((size,), *leading)}, dtype)",
                              "side by side, as their weights are stacked"))
            low = Dim()
            for stage in block.stages:
                high = low + self.graph.shapes[stage][0]
                lines.append(Line(f"d_{stage} = {name}[..., {_code(low, tight=True)}:{_code(high, tight=True)}]"))
                low = high
        return lines

    def _after_products(self) -> list[Line]:
        """What stages after the loop send into it through matrices, for all steps at once."""
        lines = []
        for block in self.plan.blocks:
            if block.phase != AFTER:
                continue
            for stack in block.stacks:
                if self.plan.phases.get(stack.vector.name) == LOOP:
                    name = self.after_products[stack] = self.fresh(f"d_{stack.vector.name}_{stack.name}")
                    lines.append(Line(f"{name} = {self._back_through(stack, WHOLE)}",
                                      ", ".join(f.stage for f in stack.factors)))
        return lines

    def _back_through(self, stack: Stack, mode: str) -> str:
        block = self.block_of[stack.factors[0].stage]
        name = self.block_gradient[block]
        inside = len(stack.factors) == len(block.stages)
        if inside:
            index = "[t]" if mode == EACH else ""
        else:
            low, high = self._extent(block, stack)
            extent = f"{_code(low, tight=True)}:{_code(high, tight=True)}"
            index = f"[t, :, {extent}]" if mode == EACH else f"[..., {extent}]"
        gradient = Spelled(f"{name}{index}", ATOM, 1, True)
        return self.speller(mode).product(gradient, stack.name, turned=False).text

    def _extent(self, block: Block, stack) -> tuple[Dim, Dim]:
        low = Dim()
        first = block.stages.index(stack.factors[0].stage)
        for stage in block.stages[:first]:
            low += self.graph.shapes[stage][0]
        high = low
        for factor in stack.factors:
            high += self.graph.shapes[factor.stage][0]
        return low, high

    # --- the loop

    def _loop_gradients(self) -> list[Line]:
        plan, lines = self.plan, []
        lines += self._block_arrays(LOOP, WHOLE)
        in_blocks = {stage for block in plan.blocks for stage in block.stages}
        for name in plan.remembered:
            if name not in in_blocks:
                shape = self._axes(self.graph.shapes[name], self.T, self.B)
                lines.append(Line(f"d_{name} = np.empty({shape}, dtype)"))
        lines += self._starting_gradients()
        body: list[Line] = []
        for gradient in plan.gradients_in(LOOP):
            if gradient.value in self.read_adjoints or gradient.value in self.graph.states:
                body += self._gradient_at_step(gradient)
        body += self._sent_to_the_step_before()
        lines += self._turned_matrices()
        return [*lines, Line(f"for t in reversed(range({self.T})):"), *_indented(body)]

    def _starting_gradients(self) -> list[Line]:
        lines = []
        for name in self._carried():
            gradient = self.derivation.adjoints[name]
            pieces = [(f"dstate.{name}", f"{_OUTSIDE}, through the final state")] if name in self.graph.states else []
            last = self._pieces(tuple(
                f for f in gradient.forks if self.plan.phases.get(f.reader) == LAST and f.lag == 0), FINAL)
            if not self.ends:
                lines += _statement(self.next[name], [*pieces, *last], "")
                continue
            nothing = f"np.zeros({self._axes(gradient.shape, self.B)}, dtype)"
            lines += _statement(self.next[name], pieces or [(nothing, "")], "")
            lines += self._at_the_end([
                Line(f"{self.next[name]} = {self.next[name]} + {text}", comment) for text, comment in last])
        return lines

    def _gradient_at_step(self, gradient: Gradient) -> list[Line]:
        name = gradient.value
        left = f"d_{name}[t]" if name in self.plan.remembered else f"d_{name}"
        pieces = []
        if name in self.next:
            later = [fork.reader for fork in gradient.through_time() if self.plan.phases.get(fork.reader) != LAST]
            pieces.append((self.next[name], f"step t+1: {', '.join(later)}" if later else "the last step"))
        within = tuple(f for f in gradient.within() if self.plan.phases.get(f.reader) != LAST)
        pieces += self._pieces(within, EACH)
        if not pieces:
            pieces = [(f"np.zeros({self._axes(gradient.shape, self.B)}, dtype)", "no reader")]
        return self._numbered(left, pieces, gradient, EACH)

    def _numbered(self, left: str, pieces: list[tuple[str, str]], gradient: Gradient, mode: str) -> list[Line]:
        number = f"({self.plan.gradient_numbers[gradient.value]})"
        if len(pieces) == 1:
            reader = pieces[0][1]
            told = reader if reader.startswith(_OUTSIDE) else f"from {reader}"
            return [Line(f"{left} = {pieces[0][0]}", f"{number} {told}")]
        head = f"# {number} fork of {gradient.value}: one line per reader"
        parts = _as_parts(gradient.forks)
        if parts is not None and len(parts) == len(pieces):
            return [Line(head), *_concatenation(left, parts, [reader for _, reader in pieces], self.speller(mode))]
        return [Line(head), *_statement(left, pieces, "")]

    def _sent_to_the_step_before(self) -> list[Line]:
        lines = []
        for name in self._carried():
            gradient = self.derivation.adjoints[name]
            forks = tuple(f for f in gradient.through_time() if self.plan.phases.get(f.reader) != LAST)
            number = self.plan.gradient_numbers[name]
            pieces = self._pieces(forks, EACH)
            if not pieces:
                pieces = [(f"np.zeros_like({self.next[name]})", "no reader")]
            elif not any(map(self._moves, forks)):
                pieces = [self._same_everywhere(gradient, forks, EACH, (self.B,))]
            if len(pieces) == 1:
                text, reader = pieces[0]
                lines.append(Line(f"{self.next[name]} = {text}", f"({number}) to {name}[t-1], from {reader}"))
            else:
                lines.append(Line(f"# ({number}) to {name}[t-1]: what step t sends back, one line per reader"))
                lines += _statement(self.next[name], pieces, "")
            for fork in gradient.through_time():
                if self.plan.phases.get(fork.reader) == LAST:
                    (text, comment), = self._pieces((fork,), FINAL)
                    lines.append(Line(f"if {self.ends + ' and ' if self.ends else ''}t == {self.T} - 1:"))
                    lines.append(Line(f"    {self.next[name]} = {self.next[name]} + {text}", comment))
        return lines

    # --- forks as code

    def _fork_statement(self, left, gradient, forks, mode, still=False, own=False) -> list[Line]:
        """The sum at a fork; with `own`, in an array that is nobody else's and can be added to."""
        pieces = self._summed_pieces(forks) if still else self._pieces(forks, mode)
        if own and len(pieces) == 1 and " " not in pieces[0][0]:
            pieces = [(f"{pieces[0][0]}.copy()", pieces[0][1])]
        leading = (self.B,) if mode == FINAL else (self.T, self.B)
        if not pieces:
            pieces = [(f"np.zeros({self._axes(gradient.shape, *(() if still else leading))}, dtype)", "no reader")]
        elif not still and not any(map(self._moves, forks)):
            pieces = [self._same_everywhere(gradient, forks, mode, leading)]
        return self._numbered(left, pieces, gradient, mode)

    def _moves(self, fork: Contribution) -> bool:
        """Whether what a fork sends back is not the same at all steps and examples."""
        leaves = (node for node in walk(fork.at_reader) if isinstance(node, (Value, Adjoint, Outside)))
        return any(leaf.name not in self.graph.static for leaf in leaves)

    def _same_everywhere(self, gradient, forks, mode: str, leading: tuple[str, ...]) -> tuple[str, str]:
        """What forks send back that is the same at every step and example, in an array of its own."""
        speller = self.speller(mode)
        same = " + ".join(speller.thin(fork.at_reader).inside(SUM) for fork in forks)
        return (f"np.full({self._axes(gradient.shape, *leading)}, {same}, dtype)",
                ", ".join(self._reader(fork) for fork in forks))

    def _pieces(self, forks: tuple[Contribution, ...], mode: str) -> list[tuple[str, str]]:
        """(code, readers) for each fork; branches through one stack are one product."""
        pieces, done = [], set()
        full = any(not is_fill(fork.at_reader) for fork in forks)
        for fork in forks:
            stack = self._stack_through(fork)
            if stack is None:
                speller = self.speller(mode)
                # beside a full array, a scalar that goes to every entry need not be copied to each
                spelled = speller.thin(fork.at_reader) if full else speller.spell(fork.at_reader)
                pieces.append((spelled.inside(SUM), self._reader(fork)))
            elif stack not in done:
                done.add(stack)
                if mode == EACH and stack in self.after_products:
                    text = self.after_products[stack] + "[t]"
                else:
                    text = self._back_through(stack, mode)
                pieces.append((text, ", ".join(factor.stage for factor in stack.factors)))
        return pieces

    def _stack_through(self, fork: Contribution) -> Stack | None:
        if fork.kind != TRANSPOSED or not isinstance(fork.at_reader, MatVec):
            return None
        matrix = fork.at_reader.matrix.arguments[0]
        stack = self.stack_of.get((fork.reader, matrix.name)) if isinstance(matrix, Value) else None
        if stack is not None and stack.vector == Value(fork.target, -fork.lag):
            return stack
        return None

    def _reader(self, fork: Contribution) -> str:
        if fork.kind == "output":
            return f"{_OUTSIDE}, through the output"
        return fork.reader

    def _input_gradients(self) -> list[Line]:
        lines = []
        for gradient in self.derivation.inputs:
            forks, last = self._apart(gradient.forks, WHOLE)
            lines += self._fork_statement(f"d_{gradient.value}", gradient, forks, WHOLE, own=bool(last))
            lines += self._added_at_last(f"d_{gradient.value}", gradient, last)
        return lines

    # --- what stands still

    def _summed_pieces(self, forks: Iterable[Contribution]) -> list[tuple[str, str]]:
        """Branches to something that stands still: summed over steps and examples."""
        pieces = []
        for fork in forks:
            mode = FINAL if self.plan.phases.get(fork.reader) == LAST else WHOLE
            if fork.kind == START:
                text = f"({self.next[fork.reader]}.sum(0) if tape.learned_start else np.zeros_like({fork.target}))"
                pieces.append((text, f"the start of {fork.reader}"))
            elif not fork.over_time:
                pieces.append((self.speller(WHOLE).spell(fork.at_reader).inside(SUM), fork.reader))
            else:
                text = self._summed(fork.at_reader, mode)
                if mode == FINAL:
                    text = self._or_zero(text, self.graph.shapes[fork.target])
                pieces.append((text, fork.reader))
        return pieces

    def _or_zero(self, text: str, shape: Shape) -> str:
        """What reaches a parameter at the last step: between checkpoints, in the last part alone."""
        return f"({text} if {self.ends} else np.zeros({self._axes(shape)}, dtype))" if self.ends else text

    def _summed(self, term: Expression, mode: str) -> str:
        axes = "0" if mode == FINAL else "(0, 1)"
        if isinstance(term, Call) and term.function == "outer":
            left, right = (self.speller(mode).spell(argument) for argument in term.arguments)
            if left.moving and right.moving:
                self.helpers.add("sum_of_outer")
                return f"_sum_of_outer({left.text}, {right.text})"
            if left.moving:
                return f"np.outer({left.inside(ATOM)}.sum({axes}), {right.text})"
            return f"np.outer({left.text}, {right.inside(ATOM)}.sum({axes}))"
        inner, scalar = term, False
        while isinstance(inner, Call) and inner.function == "sum":
            inner, scalar = inner.arguments[0], True
        spelled = self.speller(mode).spell(inner if scalar else term)
        pair = None if scalar else self._summed_pair(term, mode)
        if pair:
            return pair
        if not spelled.moving:
            count = self.B if mode == FINAL else f"{self.T} * {self.B}"
            return f"np.asarray({count} * {self.speller(mode).spell(term).inside(PRODUCT)}, dtype)"
        if scalar or spelled.rank == 0:
            return f"{spelled.inside(ATOM)}.sum()"
        return f"{spelled.inside(ATOM)}.sum({axes})"

    def _summed_pair(self, term: Expression, mode: str) -> str | None:
        """The sum of products of two arrays over steps and examples, without an array of the products."""
        if not (isinstance(term, Product) and len(term.factors) == 2):
            return None
        left, right = (self.speller(mode).spell(factor) for factor in term.factors)
        if not (left.moving and right.moving and left.rank == right.rank and left.rank):
            return None
        axes = "jk"[-left.rank:]
        every = ("b" if mode == FINAL else "tb") + axes
        return f'np.einsum("{every},{every}->{axes}", {left.text}, {right.text})'

    def parameter_gradients(self) -> list[Line]:
        """The entries of the dictionary of gradients, in the order of storage."""
        gradients, lines = self.derivation.adjoints, []
        for name, members in self.stored.items():
            numbers = sorted(self.plan.gradient_numbers[member] for member, _ in members)
            shown = f"({numbers[0]})" if len(numbers) == 1 else f"({numbers[0]}) to ({numbers[-1]})" if (
                numbers == list(range(numbers[0], numbers[0] + len(numbers)))) else ", ".join(f"({n})" for n in numbers)
            text = self._stacked_gradient(name) if len(members) > 1 else None
            readers = ", ".join(dict.fromkeys(fork.reader for member, _ in members for fork in gradients[member].forks))
            if text is None:
                pieces = self._summed_pieces(gradients[name].forks)
                shape = self._axes(gradients[name].shape)
                text = " + ".join(piece for piece, _ in pieces) or f"np.zeros({shape}, dtype)"
                if not gradients[name].shape and pieces:
                    text = f"np.asarray({text}, dtype)"  # a sum over all entries is a number, where `named` hands out arrays
            lines.append(Line(f'"{name}": {text},', f"{shown} from {readers}" if readers else shown))
        return lines

    def _stacked_gradient(self, name: str) -> str:
        for block in self.plan.blocks:
            array = self.block_gradient[block]
            mode = FINAL if block.phase == LAST else WHOLE
            for stack in (*block.stacks, *block.biases):
                if stack.name != name:
                    continue
                low, high = self._extent(block, stack)
                whole = len(stack.factors) == len(block.stages)
                part = array if whole else f"{array}[..., {_code(low, tight=True)}:{_code(high, tight=True)}]"
                if isinstance(stack, Stack):
                    self.helpers.add("sum_of_outer")
                    text = f"_sum_of_outer({part}, {self.name_of(mode)(stack.vector)})"
                else:
                    text = f"{part}.sum({'0' if mode == FINAL else '(0, 1)'})"
                return self._or_zero(text, self.stored_shape(name)) if mode == FINAL else text
        raise AssertionError(f"{name} is a stack's name")

    # ------------------------------------------------------------------ everything for the template

    def context(self) -> dict[str, object]:
        graph, spec = self.graph, self.graph.spec
        forward, single = self.forward(), self.single_step()
        backward, gradients = self.backward(), self.parameter_gradients()
        kept = self._kept_names([*backward, *gradients])
        sizes = _Sizes(self)
        inputs = [self._argument(name, sizes) for name in graph.inputs]
        targets = [self._argument(name, sizes) for name in graph.targets]
        stored = [self._stored_entry(name, members) for name, members in self.stored.items()]
        inits = self._init_lines()
        helpers = self._helper_files()
        start_sizes = [symbol for symbol, _ in graph.dims if any(
            symbol == used for state in graph.states for dim in graph.shapes[state] for used, _ in dim.terms)]
        together = self.fresh("outputs")
        own = {name: self.fresh(name) for name in ("first", "part", "starts", "result", "loss")}
        return {
            "checkpoint": self.checkpoint, "at_end": self.ends,
            "own": {**own, "tape": self.fresh("part_tape"), "dy": self.fresh("part_dy")},
            "name": spec.name,
            "y": together if len(graph.outputs) > 1 else graph.outputs[0],
            "title": _ascii(spec.title),
            "equations": self._equations(),
            "T": self.T, "B": self.B,
            "dims_told": ", ".join(f"{symbol} = {keyword}" for symbol, keyword in graph.dims),
            "dims": [{"symbol": symbol, "keyword": keyword} for symbol, keyword in graph.dims],
            "dim_symbols": [symbol for symbol, _ in graph.dims],
            "sizes": sizes.from_parameters,
            "known_sizes": sizes.known,
            "all_sizes_known": not sizes.late,
            "late_sizes": sizes.late_lines(single=False),
            "late_single": sizes.late_lines(single=True),
            "late_names": sizes.late,
            "tape_sizes": [*sizes.known, *sizes.late],
            "tape_sizes_held": _tuple([*sizes.known, *sizes.late]),
            "known_sizes_held": _tuple(sizes.known),
            "known_part": f"[:{len(sizes.known)}]" if sizes.late else "",
            "late_part": f"[{len(sizes.known)}:]" if sizes.known else "",
            "start_sizes": start_sizes,
            "named_sizes": sizes.known if any(len(members) > 1 for members in self.stored.values()) else [],
            "inputs": inputs,
            "targets": targets,
            "arguments": [*graph.inputs, *graph.targets],
            # the first argument tells T and B; where sizes come late, all are looked at twice
            "sized_inputs": [*inputs, *targets] if sizes.late else inputs[:1],
            "rechecked": [*inputs, *targets] if sizes.late else [*inputs[1:], *targets],
            "input_names": list(graph.inputs),
            "states": [Field(s, self._told(graph.shapes[s], self.B)) for s in graph.states],
            "state_names": list(graph.states),
            "state_checks": [self._state_entry(s, start) for s, start in graph.initial],
            "start_note": self._start_note(),
            "learned_start": any(isinstance(start, Value) for _, start in graph.initial),
            "learned": self.fresh("learned_start"),
            "end": self.fresh("end"), "together": together, "record": self.fresh("kept"),
            "previous": [self.previous[s] for s in graph.states],
            "ends": [f"{self._every[s]}[-1].copy()" for s in graph.states],
            "outputs": [Field(o, self._told(graph.shapes[o], self.T, self.B)) for o in graph.outputs],
            "output_names": list(graph.outputs),
            "several_outputs": len(graph.outputs) > 1,
            "loss": graph.loss,
            "loss_last": spec.loss_at == "last",
            "stored": stored,
            "named": self._named_lines(),
            "inits": inits,
            "inits_random": any("rng" in line for line in inits),
            "kept": kept,
            "kept_rows": _rows(kept),
            "forward": _layout(forward, 4),
            "forward_parameters": self._used_parameters(forward),
            "single": _layout(single, 4),
            "single_parameters": self._used_parameters(single),
            "backward": _layout(backward, 4),
            "backward_parameters": self._used_parameters([*backward, *gradients]),
            "gradients": _layout(gradients, 8),
            "carried": [{"name": s, "code": self.next[s]} for s in graph.states],
            "input_gradients": [f"d_{name}" for name in graph.inputs],
            "helpers": [template_text(f"numpy/helpers/{name}.py").rstrip() for name in helpers],
            "smallest": 4 if self._averages() else 2,
            "ranges": self._range_lines(),
            "name_width": max(len(name) for name in (*self.stored, *graph.inputs, *(f"state.{s}" for s in graph.states))),
        }

    def _argument(self, name: str, sizes: _Sizes) -> dict[str, object]:
        shape = self.graph.shapes[name]
        low, high = self._range(name)
        return {
            "name": name, "now": self.now.get(name, name), "is_target": name in self.graph.targets, "rank": len(shape),
            "told": self._told(shape, self.T, self.B), "told_now": self._told(shape, self.B),
            "sizes": "".join(f", {_code(dim)}" for dim in shape),
            "open_sizes": "".join(
                ", None" if any(s in sizes.late for s, _ in dim.terms) else f", {_code(dim)}" for dim in shape
            ) or ",",
            "low": low, "high": high,
        }

    def _state_entry(self, state: str, start: Number | Value) -> dict[str, str]:
        shape = self.graph.shapes[state]
        axes = self._axes(shape, "batch")
        if isinstance(start, Value):
            code = f'np.broadcast_to(params["{start.name}"], {axes})'
        elif start.value == 0:
            code = f"np.zeros({axes}, dtype)"
        else:
            code = f"np.full({axes}, {source(start)}, dtype)"
        low, high = self._range(state)
        return {"name": state, "told": self._told(shape, self.B), "shape": axes, "start": code,
                "check_shape": axes, "low": low, "high": high}

    def _start_note(self) -> str:
        starts = [f"{state} = {source(start)}" for state, start in self.graph.initial]
        if all(start == Number(start.value) and not start.value for _, start in self.graph.initial
               if isinstance(start, Number)) and not any(isinstance(s, Value) for _, s in self.graph.initial):
            return "None is zero"
        return "None is " + ", ".join(starts)

    def _range(self, name: str) -> tuple[str, str]:
        for entry in self.graph.spec.ranges:
            if entry.name == name:
                return source(Number(entry.low)), source(Number(entry.high))
        return "-1", "1"

    def _range_lines(self) -> list[str]:
        lines = []
        for entry in self.graph.spec.ranges:
            if entry.name in self.graph.parameters:
                low, high = self._range(entry.name)
                view = f'named(params)["{entry.name}"]'
                lines.append(f"{view}[...] = rng.uniform({low}, {high}, {view}.shape)")
        return lines

    def _kept_names(self, lines: list[Line]) -> list[str]:
        """What `backward` reads of the forward pass: nothing else is kept."""
        text = _code_alone(lines)
        candidates = [*self.graph.inputs, *self.graph.targets]
        for stage in self.graph.stages:
            candidates += [self.previous[stage.name]] if stage.name in self.previous else []
            candidates.append(stage.name)
        return [name for name in candidates if _mentions(text, name)]

    def _told(self, shape: Shape, *leading: str) -> str:
        axes = [*leading, *(str(dim) for dim in shape)]
        return f"({', '.join(axes)}{',' * (len(axes) == 1)})"

    def stored_shape(self, name: str) -> Shape:
        """The shape of a stored array: the parameters in it lie under each other."""
        members = self.stored[name]
        first = members[0][1]
        if len(members) == 1:
            return first
        rows = Dim()
        for _, shape in members:
            rows += shape[0]
        return (rows, *first[1:])

    def _stored_entry(self, name: str, members) -> dict[str, str]:
        shape = self.stored_shape(name)
        axes = [f'"{dim}"' for dim in shape]
        return {"name": name, "axes": f"({', '.join(axes)}{',' * (len(axes) == 1)})",
                "shape": self._axes(shape), "told": self._told(shape),
                "note": "" if len(members) == 1 else ", ".join(member for member, _ in members)}

    def _named_lines(self) -> list[str]:
        where = {}
        for name, members in self.stored.items():
            low = Dim()
            for member, shape in members:
                if len(members) == 1:
                    where[member] = f'"{member}": params["{name}"],'
                    continue
                high = low + shape[0]
                where[member] = f'"{member}": params["{name}"][{_code(low, tight=True)}:{_code(high, tight=True)}],'
                low = high
        return [where[name] for name in self.graph.parameters]

    def _init_lines(self) -> list[str]:
        lines = []
        for parameter in self.graph.spec.parameters:
            shape = self.graph.shapes[parameter.name]
            init = parameter.init
            if init is None:
                init = "glorot" if len(shape) == 2 else 0
            if init == 0:
                continue
            view = f'views["{parameter.name}"]'
            if isinstance(init, str):
                self.helpers.add(f"init_{init}")
                value = f"_{init}({'' if init == 'identity' else 'rng, '}{view}.shape)"
            else:
                value = source(Number(init))
            lines.append(f"{view}[...] = {value}")
        return lines

    def _used_parameters(self, lines: Iterable[Line]) -> list[str]:
        text = _code_alone(lines)
        return [name for name in self.stored if _mentions(text, name)]

    def _equations(self) -> list[str]:
        width = max((len(stage.name) for stage in self.graph.stages), default=0)
        return [f"{f'({self.plan.numbers[stage.name]})':>5}  {stage.name:<{width}} = {source(stage.expression)}"
                for stage in self.graph.stages]

    def _helper_files(self) -> list[str]:
        needed = set(self.helpers)
        if needed & {"softplus", "softsign"} or ("sigmoid" in needed and self.plan.uses_exact_sigmoid):
            needed.add("abs")
        order = ["abs", *sorted(needed - {"abs"})] if "abs" in needed else sorted(needed)
        return ["sigmoid_exact" if name == "sigmoid" and self.plan.uses_exact_sigmoid else name for name in order]

    def _averages(self) -> bool:
        """Whether a mean is taken: the check's sizes are then at least 4, or two entries would be all there is."""
        averaging = {"mean", "layer_norm", "softmax", "logsumexp"}
        return any(isinstance(node, Call) and node.function in averaging
                   for stage in self.graph.stages for node in walk(stage.expression))


class _Sizes:
    """Where each size is read: off the parameters' shapes, else off an input's, a target's or a state's."""

    def __init__(self, module: _Module):
        graph = module.graph
        stored = {name: module.stored_shape(name) for name in module.stored}
        self.from_parameters: list[dict[str, str]] = []
        known: list[str] = []
        self._solve([(f'params["{name}"].shape[{axis}]', dim) for name, shape in stored.items()
                     for axis, dim in enumerate(shape)], known, self.from_parameters)
        self.known = list(known)
        self._forward, self._single = [], []
        self._from_state, self._from_state_single = [], []
        arguments = [(name, axis, dim) for name in (*graph.inputs, *graph.targets)
                     for axis, dim in enumerate(graph.shapes[name])]
        known_single = list(known)
        self._solve([(f"{name}.shape[{axis + 2}]", dim) for name, axis, dim in arguments], known, self._forward)
        self._solve([(f"{module.now[name]}.shape[{axis + 1}]", dim) for name, axis, dim in arguments
                     if name in module.now], known_single, self._single)
        states = [(f"np.shape(state[{place}])[{axis + 1}]", dim) for place, name in enumerate(graph.states)
                  for axis, dim in enumerate(graph.shapes[name])]
        self._solve(states, known, self._from_state)
        self._solve(states, known_single, self._from_state_single)
        self.late = [symbol for symbol in known if symbol not in self.known]

    def late_lines(self, single: bool) -> list[str]:
        lines = [f"{entry['symbol']} = {entry['code']}" for entry in (self._single if single else self._forward)]
        for entry in self._from_state_single if single else self._from_state:
            lines.append("if state is None:")
            lines.append(f'    raise ValueError("state is None, and nothing else tells {entry["symbol"]}: give a state")')
            lines.append(f"{entry['symbol']} = {entry['code']}")
        return lines

    @staticmethod
    def _solve(sources: list[tuple[str, Dim]], known: list[str], lines: list[dict[str, str]]) -> None:
        """Take the simplest axis with one unknown symbol, again and again."""
        ranked = sorted(sources, key=lambda item: (len(item[1].terms), item[1].constant, sum(f for _, f in item[1].terms)))
        while True:
            found = next(((code, dim, unknown[0]) for code, dim in ranked
                          if len(unknown := [term for term in dim.terms if term[0] not in known]) == 1), None)
            if found is None:
                return
            code, dim, (symbol, factor) = found
            rest = dim + Dim(((symbol, -factor),))
            if rest != Dim():
                code = f"{code} - ({_code(rest)})" if len(rest.terms) + bool(rest.constant) > 1 else f"{code} - {_code(rest)}"
            if factor != 1:
                code = f"({code}) // {factor}" if rest != Dim() else f"{code} // {factor}"
            lines.append({"symbol": symbol, "code": code})
            known.append(symbol)


# ---------------------------------------------------------------- text


def _code(dim: Dim, tight: bool = False) -> str:
    """A size as code: `2 * H`, or `2*H` inside an index."""
    parts = [symbol if factor == 1 else f"{factor}*{symbol}" if tight else f"{factor} * {symbol}"
             for symbol, factor in dim.terms]
    if dim.constant or not parts:
        parts.append(str(dim.constant))
    return ("+" if tight else " + ").join(parts)


def _indented(lines: Iterable[Line]) -> list[Line]:
    return [Line("    " + line.code, line.comment) for line in lines]


def _statement(left: str, pieces: list[tuple[str, str]], number: str) -> list[Line]:
    """`left = a + b + ...`, one line per piece with its comment; one line where there is one piece."""
    if len(pieces) == 1:
        text, comment = pieces[0]
        return [Line(f"{left} = {text}", f"{number} {comment}".strip())]
    lines = [Line(f"{left} = (")]
    for index, (text, comment) in enumerate(pieces):
        sign = "" if not index else "- " if text.startswith("-") else "+ "
        lines.append(Line(f"    {sign}{text.removeprefix('-') if index else text}", comment))
    return [*lines, Line(")")]


def _as_parts(forks: tuple[Contribution, ...]) -> list[Expression] | None:
    """The gradients of a value's n equal parts, if each reader takes one part and all are taken."""
    placed = {}
    for fork in forks:
        match fork.at_reader:
            case Call(function="Place", arguments=(part, Number(value=k), Number(value=n))) if not fork.lag:
                placed[int(k)] = (part, int(n))
            case _:
                return None
    whole = placed and all(n == len(placed) == len(forks) for _, n in placed.values())
    return [placed[k][0] for k in sorted(placed)] if whole and sorted(placed) == [
        k for k in range(len(forks)) if forks[k].at_reader.arguments[1].value == k] else None


def _concatenation(left: str, parts: list[Expression], readers: list[str], spell: Speller) -> list[Line]:
    """Gradients that do not overlap stand side by side instead of being added to zeros."""
    rows = [Line(f"    {spell(part)},", reader) for part, reader in zip(parts, readers)]
    return [Line(f"{left} = np.concatenate(["), *rows, Line("], axis=-1)")]


def _wrapped_unpacking(names: list[str], right: str) -> list[Line]:
    whole = f"{', '.join(names)} = {right}"
    if len(whole) <= WIDTH - 8:
        return [Line(whole)]
    lines, row = [Line("(")], ""
    for name in names:
        if len(row) + len(name) > WIDTH - 20:
            lines.append(Line(f"    {row.rstrip()}"))
            row = ""
        row += f"{name}, "
    return [*lines, Line(f"    {row.rstrip()}"), Line(f") = {right}")]


def _layout(lines: list[Line], indent: int) -> list[str]:
    """The lines with their comments, which begin in one column; a fork stands apart."""
    laid_out: list[str] = []
    for line in lines:
        code = " " * indent + line.code
        begins = line.code.lstrip().startswith(("# (", "for t in"))
        before = laid_out[-1].strip() if laid_out else ""
        if laid_out and ((begins and not before.endswith(":")) or (before == ")" and line.code.strip() != "")):
            laid_out.append("")
        if line.comment:
            beside = f"{code:<{COMMENT_COLUMN}}  # {line.comment}"
            if len(beside) > LONGEST:
                laid_out.append(code[: len(code) - len(code.lstrip())] + f"# {line.comment}")
            else:
                code = beside
        laid_out.append(code)
    return laid_out


def _rows(names: list[str]) -> list[str]:
    """Names in rows that fit: `a, b, c,`."""
    rows = [""]
    for name in names:
        if len(rows[-1]) + len(name) > WIDTH - 16:
            rows.append("")
        rows[-1] = f"{rows[-1]} {name},".strip()
    return rows


def _is_view(expression: Expression) -> bool:
    """Whether its NumPy is a view of what it reads, and no array of its own."""
    while isinstance(expression, Call) and expression.function in ("part", "transpose", "stop_gradient"):
        expression = expression.arguments[0]
    return isinstance(expression, Value)


def _tuple(names: Iterable[str]) -> str:
    """Of one name, too."""
    listed = [*names]
    return f"({', '.join(listed)}{',' if len(listed) == 1 else ''})"


def _code_alone(lines: Iterable[Line]) -> str:
    """What the lines do, without comments and texts in quotes."""
    return "\n".join(re.sub('"[^"]*"', '""', line.code) for line in lines if not line.code.lstrip().startswith("#"))


def _mentions(text: str, name: str) -> bool:
    """Whether code reads a name: as a word of its own, not as a field or a key."""
    start = text.find(name)
    while start >= 0:
        before, after = text[start - 1:start], text[start + len(name):start + len(name) + 1]
        if not (before.isalnum() or before in ("_", ".", '"')) and not (after.isalnum() or after == "_"):
            return True
        start = text.find(name, start + 1)
    return False


def _ascii(text: str) -> str:
    """Text as a docstring may hold it: ASCII, no quotes that end it, no backslash."""
    shown = "".join(c if " " <= c <= "~" and c not in '\\"' else "'" if c == '"' else f"[U+{ord(c):04X}]" for c in text)
    return shown.strip() or "cell"


