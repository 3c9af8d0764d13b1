"""The gradient at one value in words: its readers, when they read it, what each sends back, and why."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from ...derivation.chain import ELEMENTWISE, OUTER, OUTPUT, START, Contribution, Derivation, Gradient
from ...derivation.chain import later as _later
from ...derivation.explanation import Held, held_still
from ...derivation.graph import Stage
from ...language.cures import named_gradient
from ...language.expressions import Adjoint, Call, Expression, Value, transform, walk
from ...language.names import did_you_mean
from ...language.shapes import shape_of
from ...printed import WIDTH
from ...resources import SPECS
from ...spec.cell import NO_FILE
from .columns import Row, bold, broken, counted, display, grey, listed, prose, solid
from .pen import TerminalPen, gradient_rows


class UnknownName(LookupError):
    """A gradient was asked for at a name that the cell does not have."""


def explain_gradient(derivation: Derivation, name: str, unicode: bool, width: int = WIDTH) -> str:
    """The gradient at one value, reader by reader, as text for a terminal."""
    pen = TerminalPen(derivation, unicode, width)
    return "\n".join(_Explanation(pen, gradient_of(derivation, name)).lines())


@dataclass(frozen=True)
class Reasons:
    """The sentences of an explanation, for another output that arranges them itself."""

    rule: str  # who reads the value, and that the terms are added
    terms: tuple[tuple[tuple[str, str], ...], ...]  # for each contribution: (what is told, text); `~` is a space
    ends: tuple[str, ...]  # about the first and the last step


def reasons(pen: TerminalPen, gradient: Gradient) -> Reasons:
    """Why a gradient is what it is, with formulas as `pen` spells them."""
    return _Explanation(pen, gradient).reasons()


def gradient_of(derivation: Derivation, name: str) -> Gradient:
    """The gradient at a value, by any of the names that `explain` accepts. Raises `UnknownName` if there is none."""
    found = _find(derivation, name)
    gradient = derivation.adjoints.get(found)
    return gradient or Gradient(found, derivation.graph.shapes[found], ())  # computed, and on no path to the loss


def _find(derivation: Derivation, name: str) -> str:
    """The value that is meant: `c`, also as `d_c`, `c[t-1]` or with a delta."""
    graph = derivation.graph
    known = [*(stage.name for stage in graph.stages), *graph.states, *graph.inputs, *graph.parameters]
    wanted = re.sub(r"\[t?\s*([+-]\s*1)?\]\Z", "", name.strip())
    for meant in (wanted, wanted.removeprefix("δ"), wanted.removeprefix("∂"), wanted.removeprefix("d_"),
                  wanted.removeprefix("dy_")):
        if meant in known:
            return meant
    spec = graph.spec
    if wanted in graph.targets:
        raise UnknownName(f"'{wanted}' is a target: it is given, and no gradient is taken with respect to it")
    if wanted in [constant.name for constant in spec.constants]:
        raise UnknownName(f"'{wanted}' is a constant; a gradient needs a parameter: '{wanted}: []' under "
                          "'parameters'")
    if wanted in [function.name for function in spec.functions]:
        raise UnknownName(f"'{wanted}' is a function; a gradient belongs to one of its values")
    if wanted in [symbol for symbol, _ in graph.dims]:
        raise UnknownName(f"'{wanted}' is a size")
    if wanted.endswith("_pre") and wanted.removesuffix("_pre") in known:
        owner = wanted.removesuffix("_pre")
        raise UnknownName(f"'{owner}' has no pre-activation: its equation is no call on an expression; "
                          f"'{owner}' itself can be explained")
    moving = [each for each in known if each not in graph.static]
    gradient = named_gradient(wanted, known, moving)
    near = f"did you mean 'd_{gradient[0]}'?" if gradient else did_you_mean(wanted, known)
    raise UnknownName(f"{spec.name} has no value '{name}'; " + (near or f"it has "
                                                                        f"{', '.join(dict.fromkeys(known))}"))


class _Explanation:
    """Puts one gradient into words. Terms are numbered from 1, in the order of the sum."""

    def __init__(self, pen: TerminalPen, gradient: Gradient):
        self.pen, self.gradient, self.graph = pen, gradient, pen.graph
        self.name, self.still = gradient.value, gradient.value in pen.graph.static
        self.stage = pen.graph.find(gradient.value)

    def lines(self) -> list[str]:
        lines = [f"{bold(self._title())}  {grey(self.graph.spec.name)}", "", *self._what_it_is()]
        if not self.gradient.forks:
            lines += ["", *self._say(self._nothing())]
            return lines
        lines += ["", *self._say(self._rule())]
        for heading, forks in self._groups():
            lines += ["", bold(heading)]
            for number, fork in forks:
                lines += [*self._branch(number, fork), ""]
            lines.pop()
        lines += ["", bold("The sum"), *self._sum(), *self._written_out()]
        for heading, body in (("The upstream gradients", self._upstreams()), ("First and last step", self._ends())):
            if body:
                lines += ["", bold(heading), *body]
        words = self._words("\n".join(lines))
        return [*lines, "", *(grey(line) for text in words for line in prose(text, self.pen.width, ""))]

    # ------------------------------------------------------------------ head

    def _title(self) -> str:
        return f"The gradient at {self.name}, reader by reader"

    def _what_it_is(self) -> list[str]:
        pen, name = self.pen, self.name
        size = pen.size(self.gradient.shape)
        if self.stage:
            return display([Row(self.stage.name, "=", pen.spell(self.stage.expression), size)], pen.width)
        kind = "an input" if name in self.graph.inputs else "a parameter"
        shape = f"of shape~{solid(size)}" if self.gradient.shape else "and a scalar"
        summed = any(fork.over_time for fork in self.gradient.forks)
        return self._say(f"{name} is {kind} {shape}{', the same at every step' * summed}.")

    def _nothing(self) -> str:
        delta = self.pen.delta(self.name)
        if self.name == self.graph.loss:
            return f"{self.name} is the loss of one step: {delta} = 1."
        return f"No reader of {self.name} sends a gradient back: {delta} = 0."

    def _rule(self) -> str:
        pen, name = self.pen, self.name
        forks = self.gradient.forks
        through = [fork for fork in forks if fork.kind not in (OUTPUT, START)]
        outside = any(fork.kind == OUTPUT for fork in forks)
        if not through:
            return f"{pen.delta(name)} comes from {'outside' if outside else 'the first step'} alone."
        when = "within its step"
        if any(fork.lag for fork in through):
            when = "in the next step" if all(fork.lag for fork in through) else "in its own step and the next"
        if self.still:
            when = "at every step"
        text = f"{pen.value(name)} is read by {counted(len(through), 'stage')} {when}"
        text += ", and it is an output. " if outside else ". "
        text += "Each reader sends back one term" if len(through) > 1 else "That reader sends back one term"
        added = " The terms are added." if len(forks) > 1 else ""
        if self.still:
            added = " The terms of all steps are added."
        return (f"{text}: its own gradient (upstream), which already counts everything that happens later, times the "
                f"derivative of its own equation with respect to {pen.value(name)} (local). The local derivative holds "
                f"everything else that the equation reads constant.{added}{self._idle()}")

    def _idle(self) -> str:
        """The readers that have no term."""
        idle = list(dict.fromkeys(fork.reader for fork in self.pen.derivation.left_out if fork.target == self.name))
        if not idle:
            return ""
        return f" {listed(idle)} read{'s' * (len(idle) == 1)} {self.name} too, but sends back nothing: that is always zero."

    def _groups(self) -> list[tuple[str, list[tuple[int, Contribution]]]]:
        numbered = list(enumerate(self.gradient.forks, 1))
        named = (
            ("From outside", lambda fork: fork.kind == OUTPUT),
            ("At every step" if self.still else "In the same step",
             lambda fork: fork.kind not in (OUTPUT, START) and not fork.lag),
            ("In the next step", lambda fork: fork.lag),
            ("Before the first step", lambda fork: fork.kind == START),
        )
        groups = [(heading, [pair for pair in numbered if belongs(pair[1])]) for heading, belongs in named]
        return [group for group in groups if group[1]]

    # ------------------------------------------------------------------ one branch

    def _branch(self, number: int, fork: Contribution) -> list[str]:
        pen = self.pen
        mark = f"{number:>3}  "
        special = self._special(fork)
        if special:
            return prose(special, pen.width, " " * len(mark), mark)
        stage = self.graph.stage(fork.reader)
        head = broken(pen.equation(stage, fork.lag), pen.width - len(mark))
        lines = [mark + bold(head[0]), *(" " * (len(mark) + 2) + bold(line) for line in head[1:])]
        if pen.at_last_step(fork):
            lines[-1] += f"   {grey('at the last step only')}"
        label = " " * len(mark)
        for title, text in self._facts(fork):
            lines += prose(text, pen.width, f"{label}{'':<12}", f"{label}{grey(f'{title:<12}')}")
        return lines

    def _special(self, fork: Contribution) -> str:
        """What is told of a contribution that no reader of this step or the next sends."""
        pen = self.pen
        if fork.kind == OUTPUT:
            return (f"{pen.spell(fork.term)}: {pen.value(self.name)} is an output, and this is the gradient that reaches it "
                    "from outside at step t, from the loss or from the layer above: dy of the module.")
        if fork.kind == START:
            state = fork.reader
            terms = ", ".join(pen.term(way) for way in pen.derivation.adjoints[state].through_time())
            return (f"If no state is given, {pen.value(self.name)} is the state {state} before the first step. So its "
                    f"gradient is {pen.delta(state)}[0]: the terms of {pen.delta(state)} that come from the next step, at "
                    f"t = 0, where t+1 is the first step: {terms}.")
        return ""

    def reasons(self) -> Reasons:
        """The sentences alone."""
        facts = [self._facts(fork) if not self._special(fork) else [("outside", self._special(fork))]
                 for fork in self.gradient.forks]
        return Reasons(self._rule() if facts else self._nothing(), tuple(map(tuple, facts)), tuple(
            line.strip() for line in self._ends()))

    def _facts(self, fork: Contribution) -> list[tuple[str, str]]:
        pen = self.pen
        facts = [
            ("local", self._local(fork) + self._other_places(fork)),
            ("upstream", self._upstream(fork)),
            ("term", solid(pen.spell(fork.term)) + (", at each step t" if fork.over_time else "")),
        ]
        return facts + self._still(fork)

    def _local(self, fork: Contribution) -> str:
        """The local derivative of the reader."""
        pen, graph = self.pen, self.graph
        reader, value = pen.value(fork.reader, fork.lag), pen.value(self.name)
        derivative = solid(pen.derivative(fork.reader, fork.lag, self.name))
        if fork.local is not None:
            local = solid(pen.spell(_later(fork.local, fork.lag, graph.static)))
            text = f"{derivative}~= {local}"
            more = len(graph.shapes[fork.reader]) - len(self.gradient.shape)
            if more > 0:
                if not self.gradient.shape:
                    return f"{text}, entry by entry; {value} is used in every entry of {reader}, so the entries are added"
                part = "row" if more == 1 else "matrix"
                return (f"{text}, entry by entry; each entry of {value} is used in a whole {part} of {reader}, "
                        "whose entries are added")
            return text
        if fork.matrix is not None:
            matrix = pen.spell(_later(fork.matrix, fork.lag, graph.static))
            axes, of_matrix = len(graph.shapes[fork.target]), len(shape_of(fork.matrix, graph.shapes))
            where = "" if axes == 1 else " in the same column" if axes == of_matrix else " of its head"
            why = (f": each entry of {value} goes into every entry of {reader}{where}, so it gets a sum over them back, "
                   "which is a product with the transposed matrix")
            return f"{derivative}~= {matrix}{self._once(fork, why)}"
        match fork.term:
            case Call(arguments=(_, vector)) if fork.kind == OUTER:
                spelled = solid(pen.spell(vector))
                why = f": the derivative of that entry is {spelled} with respect to its row, and 0 to the others"
                text = f"each row of {value} times {spelled} is one entry of {reader}"
                return text + self._once(fork, why)
        function = graph.stage(fork.reader).function
        return _LOCAL_OF_OPERATION.get(function, "{reader} mixes the entries of {value}; the term is the "
                                       "transposed derivative of {function}, applied to the upstream gradient").format(
            reader=reader, value=value, function=function)

    def _other_places(self, fork: Contribution) -> str:
        """Where the same equation reads the value again."""
        others = [number for number, other in enumerate(self.gradient.forks, 1)
                  if other.key != fork.key and (other.reader, other.lag, other.over_time) == (
                      fork.reader, fork.lag, fork.over_time)]
        if not others:
            return ""
        terms = self._terms(tuple(number - 1 for number in others))
        return f" (the equation also reads {self.pen.value(self.name)} in another place: {terms})"

    def _once(self, fork: Contribution, why: str) -> str:
        """A reason, at the first term that needs it."""
        first = next(other for other in self.gradient.forks if other.kind == fork.kind)
        return why if fork.key == first.key else ""

    def _upstream(self, fork: Contribution) -> str:
        pen = self.pen
        upstream = _later(fork.upstream, fork.lag, self.graph.static)
        text = solid(pen.spell(upstream))
        if isinstance(fork.upstream, Adjoint):
            return f"{text}, the gradient at {pen.value(fork.reader, fork.lag)}"
        return f"{text}, because the loss is the sum of these values"

    def _still(self, fork: Contribution) -> list[tuple[str, str]]:
        """What the local derivative holds constant, and through which terms its effect comes back."""
        held = held_still(self.gradient, fork, self.graph)
        if not held:
            return []
        moving = [item for item in held if item.value.name not in self.graph.static]
        names = [self._at(item) for item in moving]
        if not moving:
            return []
        if len(moving) < len(held):
            names.append("the parameters" if self.name not in self.graph.parameters else "the other parameters")
        return [("constant", f"{listed(names)}.{self._elsewhere([item for item in held if item.ways])}"
                             f"{self._earlier([item for item in held if item.earlier])}")]

    def _at(self, item: Held) -> str:
        return solid(self.pen.value(item.value.name, item.value.lag))

    def _elsewhere(self, items: list[Held]) -> str:
        """The terms that account for arguments which depend on the value, too."""
        if not items:
            return ""
        name = self.pen.value(self.name)
        groups = _by_way(items)
        told = [(listed(map(self._at, group)), self._terms(group[0].ways)) for group in groups]
        if len(groups) == 1:
            names, terms = told[0]
            return f" {names} {'depends' if len(items) == 1 else 'depend'} on {name} too: that comes back in {terms}."
        return (f" {listed(map(self._at, items))} depend on {name} too. That comes back "
                f"{listed(f'for {names} in {terms}' for names, terms in told)}.")

    def _terms(self, ways: tuple[int, ...]) -> str:
        return f"term{'s' * (len(ways) != 1)}~{listed(str(way + 1) for way in ways)}".replace(" ", "~")

    def _earlier(self, items: list[Held]) -> str:
        if not items:
            return ""
        name = self.pen.value(self.name)
        verb = "depends" if len(items) == 1 else "depend"
        return (f" {listed(map(self._at, items))} {verb} on {name} too, through the steps before: that is counted at "
                f"those steps, which read {name} themselves.")

    # ------------------------------------------------------------------ after the branches

    def _sum(self) -> list[str]:
        numbers = {fork.key: number for number, fork in enumerate(self.gradient.forks, 1)}

        def remark(fork: Contribution) -> str:
            return f"{numbers[fork.key]}, {self.pen.origin(fork)}"

        return display(gradient_rows(self.pen, self.gradient, remark), self.pen.width)

    def _written_out(self) -> list[str]:
        """The sum with the stages that have no name in the spec written out, if there are any."""
        pen = self.pen
        forks = [fork for fork in self.gradient.forks if fork.kind != START]
        full = [self._in_full(fork.term) for fork in forks]
        if len(forks) != len(self.gradient.forks) or all(new == fork.term for new, fork in zip(full, forks)):
            return []
        terms = tuple(replace(fork, term=term) for fork, term in zip(forks, full))
        written = Gradient(self.name, self.gradient.shape, terms)
        lines = self._say("or, with the stages that the spec does not name written out,")
        return ["", *lines, "", *display(gradient_rows(pen, written, lambda fork: ""), pen.width)]

    def _in_full(self, expression: Expression, depth: int = 0) -> Expression:
        """The expression with unnamed stages, and their gradients, replaced by what they are if that is one line."""
        graph = self.graph

        def unnamed(name: str) -> Stage | None:
            stage = graph.find(name)
            if stage is None or stage.owner == name or name.endswith("_pre") or name in graph.static:
                return None
            return stage

        def rule(node: Expression) -> Expression | None:
            if isinstance(node, Value):
                match unnamed(node.name):
                    case Stage(expression=Call(arguments=(Value(),)) as call):
                        return _later(call, node.lag, graph.static)
            if isinstance(node, Adjoint) and unnamed(node.name) and depth < 8:
                gradient = self.pen.derivation.adjoints.get(node.name)
                if gradient and len(gradient.forks) == 1 and gradient.forks[0].kind == ELEMENTWISE:
                    term = self._in_full(gradient.forks[0].term, depth + 1)
                    return _later(term, node.lag, graph.static)
            return None

        return transform(expression, rule)

    def _upstreams(self) -> list[str]:
        """One line for each upstream gradient."""
        pen, rows = self.pen, []
        seen: set[str] = {self.name}
        for fork in self.gradient.forks:
            if not isinstance(fork.upstream, Adjoint) or fork.upstream.name in seen or fork.kind == START:
                continue
            seen.add(fork.upstream.name)
            gradient = pen.derivation.adjoints[fork.upstream.name]
            terms = gradient.forks
            body = pen.total(gradient)
            if len(body) > pen.width - 40 and len(terms) > 1:
                body = f"a sum of {len(terms)} terms: lstmgen explain {self._spec()} {gradient.value}"
            rows.append(Row(pen.delta(gradient.value), "=", body, "", True))
        if not rows:
            return []
        lines = display(rows, pen.width)
        if any(fork.lag for fork in self.gradient.forks):
            lines += self._say("At t+1 they are the same, one step later. The last step is computed first, so all of "
                               f"them are known when {pen.delta(self.name)} is computed.")
        return [*lines, *self._say(f"For any other gradient: lstmgen explain {self._spec()} NAME.")]

    def _spec(self) -> str:
        """What to type for this cell."""
        path = Path(self.graph.spec.path)
        if path.parent == SPECS:
            return path.stem
        return f"{self.graph.spec.name}.yaml" if str(path) == NO_FILE else str(path)

    def _ends(self) -> list[str]:
        pen, name = self.pen, self.name
        numbers = [number for number, fork in enumerate(self.gradient.forks, 1) if fork.lag]
        lines = []
        if self.still:
            if any(fork.over_time for fork in self.gradient.forks):
                lines += self._say(
                    f"{pen.delta(name)} is one sum over all steps, t = 1 to T, and over the examples of a "
                    "batch. Each term has the values of its own step; the terms are added, not averaged.")
                lines += self._first_values()
            return lines
        if not numbers:
            return []
        which = f"term{'s' * (len(numbers) != 1)} {listed(map(str, numbers))}"
        verb, pronoun = ("is", "its") if len(numbers) == 1 else ("are", "their")
        lines += self._say(
            f"At the last step, t = T, no step follows: {which} {verb} missing. In {pronoun} place is the gradient of "
            f"the final state, dstate.{name} of the module (zero if the loss does not read the final state).")
        lines += self._say(
            f"Before the first step, at t = 0, {which} alone {'is' if len(numbers) == 1 else 'are'} the gradient of "
            f"the initial state {name}[0]: grads.state.{name} of the module.")
        start = dict(self.graph.initial)[name]
        if isinstance(start, Value):
            lines += self._say(f"If no state is given, {name}[0] is the parameter {start.name}, and this is the "
                               f"gradient of {start.name}.")
        return lines

    def _first_values(self) -> list[str]:
        """What a term of the first step reads from before it."""
        early = [node.name for fork in self.gradient.forks for node in walk(fork.term)
                 if isinstance(node, Value) and node.lag < 0]
        if not early:
            return []
        names = listed(f"{self.pen.value(name, -1)}" for name in dict.fromkeys(early))
        return self._say(f"At t = 1, {names} is the initial state.")

    def _words(self, printed: str) -> list[str]:
        """What the printed signs mean."""
        pen, name = self.pen, self.name
        at = "" if self.still else " at step t"
        words = [f"{pen.delta(name)} is the derivative of the loss with respect to {name}{at}, along all paths. A name "
                 "without brackets is of step t; [t-1] is the step before, [t+1] the step after."]
        signs = [f"{sign} {meaning}" for sign, meaning in _SIGNS.items() if sign in printed]
        return [*words, *([", ".join(signs) + "."] if signs else []), *pen.legend()]

    def _say(self, text: str) -> list[str]:
        return prose(text, self.pen.width)


_SIGNS = {"⊙": "multiplies entry by entry", "ᵀ": "transposes", "σ": "is the sigmoid"}

_LOCAL_OF_OPERATION = {
    "sum": "{reader} adds up the entries of {value}, so each entry gets all of the upstream gradient",
    "mean": "{reader} is the mean of the entries of {value}, so each entry gets the same part of the upstream gradient",
    "concat": "{value} is a piece of {reader}, unchanged, so it gets that piece of the upstream gradient",
    "part": "{reader} is a piece of {value}, unchanged, so only that piece of {value} gets a gradient",
    "transpose": "{reader} is {value} transposed, so its gradient is transposed back",
    "clip_gradient": "{reader} is {value}, unchanged; what arrives at {reader} is clipped on purpose on its way to {value}",
    "heads": "{reader} is {value} cut into rows, unchanged, so its gradient is put together again",
    "flat": "{reader} is the rows of {value} one after the other, unchanged, so its gradient is cut into rows again",
    "fill": "every entry of {value} is in {reader} several times, so the gradients of its copies are added",
    "repeat": "every entry of {value} is in {reader} several times, so the gradients of its copies are added",
    "outer": "entry (j, k) of {reader} is a product of two entries, so each of them gets the sum of the other times the "
             "upstream gradient",
    "dot": "{reader} is a sum of products, so each entry gets the other factor times the upstream gradient",
}


def _by_way(items: list[Held]) -> list[list[Held]]:
    """Groups of those that depend on the value through the same terms."""
    groups: dict[tuple[tuple[int, ...], bool], list[Held]] = {}
    for item in items:
        groups.setdefault((item.ways, item.earlier), []).append(item)
    return list(groups.values())
