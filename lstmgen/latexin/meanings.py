"""What the symbols of a derivation mean for a cell that is known: gradients, derivatives, sums over time."""

from __future__ import annotations

from dataclasses import replace

from ..auditing.forms import PARTIAL, STEP, SUM_T, TOTAL, VIA, is_number, lag_to
from ..language.expressions import Adjoint, Call, Outside, Value, number
from .algebra import Term, transposed
from .choices import Choices
from .faults import NotRead
from .names import Found
from .reader import Reader, Unknown, _begins_derivative, _core, step_behind
from .symbols import END, LAG, NEXT, PREV, Step, Symbol, read_step, read_symbol
from .tree import Fraction, Letter, Mark, Node, Row, Scripted, flat
from .values import Cell, Values


class CellMeanings(Values):
    """The meanings of one reading of one equation."""

    def __init__(self, cell: Cell, choices: Choices, lenient: bool = False):
        super().__init__(cell, choices, lenient)
        self.reader = Reader(self, self.algebra, choices)

    # ------------------------------------------------------------------ gradients

    def special(self, items: Row, at: int) -> tuple[Term, int] | None:
        node = items[0]
        core = _core(node)
        if isinstance(core, Mark) and core.text in ("sum", "prod", "int"):
            return self._sum(items)
        if isinstance(core, Mark) and core.text == "nabla":
            return self._nabla(items)
        if isinstance(core, Mark) and core.text == "partial" and isinstance(node, Scripted):
            return self._nabla(items)
        if isinstance(core, Mark) and core.text == "partial":
            raise NotRead(at, "'\\partial' outside of a fraction")
        if not isinstance(core, Letter):
            return None
        if core.text == "delta":
            return self._delta(items)
        if core.text == "Delta":
            return self._outside(items)
        if core.text == "d" and isinstance(node, Letter):
            return self._differential(items)
        if core.text == "d" and isinstance(node, Scripted):
            return self._marked(node)
        return self._word(items, core.text)

    def _delta(self, items: Row) -> tuple[Term, int] | None:
        node = items[0]
        whole = read_symbol(node, self.clock)
        if whole is not None and self.names.find(whole) is not None:
            return None  # --names or the cell knows it
        if whole is not None and self.cell.definitions.get(whole.key) is not None:
            return None
        inner = self._inner(node) if isinstance(node, Scripted) else None
        if inner is not None:
            return self.gradient(inner, "delta"), 1
        if isinstance(node, Scripted) or len(items) < 2:
            raise NotRead(node.at, "this delta does not say of which value", "--names says it: {'\\delta': d_h_pre}")
        follows, used = self._follows(items)
        if follows is None:
            raise NotRead(items[1].at, "a delta before what is no symbol")
        return self.gradient(follows, "d"), used

    def _follows(self, items: Row) -> tuple[Symbol | None, int]:
        """The symbol behind the first node, with the step of `c(t-1)`, and how many nodes both take."""
        symbol = read_symbol(items[1], self.clock) if len(items) > 1 else None
        step = step_behind(items[1:], symbol, self.clock) if symbol is not None else None
        return (replace(symbol, step=step), 3) if symbol is not None and step is not None else (symbol, 2)

    def _inner(self, node: Scripted) -> Symbol | None:
        """The value that stands in the scripts of a delta."""
        found: Symbol | None = None
        step: Step | None = None
        turned = maybe = False
        for script, raised in ((node.sub, False), (node.sup, True)):
            for part in _split(script):
                said = flat(part)
                moment = read_step(said, self.clock, raised)
                if moment is not None:
                    step = moment
                elif raised and said in ("\u22a4", "T"):
                    turned, maybe = turned or said != "T" or step is not None, maybe or said == "T"
                elif raised and read_step(said.rstrip("T\u22a4"), self.clock, raised) is not None:
                    step, turned = read_step(said.rstrip("T\u22a4"), self.clock, raised), True
                else:
                    symbol = read_symbol(part[0], self.clock) if len(part) == 1 else _lettered(part, self.clock)
                    if symbol is None or found is not None:
                        raise NotRead(part[0].at, f"'{said[:20]}' at a delta names no single value")
                    found = symbol
        if found is None:
            return None
        return replace(found, step=step or found.step, transposed=turned or found.transposed or maybe, at=node.at)

    def gradient(self, symbol: Symbol, spelled: str) -> Term:
        """The gradient at a symbol. `spelled`: `delta` with scripts, `d` before it, or `partial` of a fraction."""
        found = self.names.find(symbol)
        if found is None:
            return self._of_definition(symbol)
        self.sure = self.sure and found.sure
        symbol = self._settled(found.symbol, found.name in self.names.graph.static)
        if symbol.power or symbol.primes:
            raise NotRead(symbol.at, f"a power or prime at the gradient of '{symbol.told()}'")
        name = self._before_activation(found, spelled)
        if name in self.names.graph.targets:
            raise NotRead(symbol.at, f"'{symbol.told()}' is a target: it has no gradient")
        return self._scripts(self._arriving(name, symbol), symbol)

    def _of_definition(self, symbol: Symbol) -> Term:
        """The gradient at a symbol that the text defines: of a stack of values, the stack of their gradients."""
        defined = self._defined(replace(symbol, transposed=False))
        if defined is None:
            raise Unknown(symbol)
        parts = self.cell.definitions[symbol.key].term.parts
        if not parts or any(not isinstance(part.expression, Value) for part in parts):
            raise NotRead(symbol.at, f"'{symbol.told()}' is defined in the text, and the cell has no gradient of it")
        lag = self._lag(symbol.step)
        adjoints = [
            Term(Adjoint(part.expression.name, part.expression.lag + lag), part.shape, symbol.at)
            for part in parts if isinstance(part.expression, Value)]
        return self._scripts(self.algebra.stack(adjoints, symbol.at), symbol)

    def _before_activation(self, found: Found, spelled: str) -> str:
        """A delta of f may be the gradient before the activation of f."""
        pre = self.names.pre(found.name)
        if pre is None or spelled == "partial" or found.name in self.names.graph.states:
            return found.name
        told = (f"the gradients of {'delta_f' if spelled == 'delta' else 'df'} and the like are read behind the activation",
                f"the gradients of {'delta_f' if spelled == 'delta' else 'df'} and the like are read before the activation")
        return (found.name, pre)[self.choices.pick(("pre", spelled), told)]

    def _arriving(self, name: str, symbol: Symbol) -> Term:
        if symbol.step in (Step(LAG, -1), Step(PREV, -1)) and name in self.names.graph.states and not self.on_left:
            told = ("", f"the gradient of {name} at step t-1 is read as what goes back to it from step t")
            if self.choices.pick(("back", name), told) == 1:
                return Term(Call(VIA, (Adjoint(name, -1), Value(STEP))), self.names.shapes[name], symbol.at)
        if symbol.step == Step(PREV, -1) and name in self.names.graph.states and self.on_left:
            texts = (f"the gradient of previous {name} is read as what goes back to it from step t",
                     f"the gradient of previous {name} is read as the one at step t-1")
            if self.choices.pick(("gradient of prev", name), texts) == 0:
                return Term(Call(VIA, (Adjoint(name, -1), Value(STEP))), self.names.shapes[name], symbol.at)
        if symbol.step is None or symbol.step.kind != NEXT:
            return self.adjoint(name, 0 if name in self.names.graph.static else self._lag(symbol.step), symbol)
        meant = (f"the gradient of next {name} is read as the one at step t",
                 f"the gradient of next {name} is read as what arrives at {name} from step t+1",
                 f"the gradient of next {name} is read as the one at step t+1")
        answer = self.choices.pick(("gradient of next", name), meant)
        if answer == 1 and name in self.names.graph.states:
            return Term(Call(VIA, (Adjoint(name), Value(STEP, 1))), self.names.shapes[name], symbol.at)
        return self.adjoint(name, answer // 2, symbol)

    def _outside(self, items: Row) -> tuple[Term, int] | None:
        """Delta: what reaches an output from outside."""
        node = items[0]
        whole = read_symbol(node, self.clock)
        if whole is not None and self.names.find(whole) is not None:
            return None
        outputs = self.names.graph.outputs
        follows = read_symbol(items[1], self.clock) if isinstance(node, Letter) and len(items) > 1 else None
        inner = self._inner(node) if isinstance(node, Scripted) else None
        named = follows if isinstance(node, Letter) else inner
        if named is None and isinstance(node, Scripted) and len(outputs) == 1 and whole is not None and not whole.marks:
            return Term(Outside(outputs[0], self._lag(whole.step)), self.names.shapes[outputs[0]], node.at), 1
        found = self.names.find(named) if named is not None else None
        if found is None or found.name not in outputs:
            raise NotRead(node.at, "this Delta is no gradient that arrives at an output from outside")
        term = Term(Outside(found.name, self._lag(found.symbol.step)), self.names.shapes[found.name], node.at)
        return term, 2 if isinstance(node, Letter) else 1

    def _differential(self, items: Row) -> tuple[Term, int] | None:
        """`dc_t`, where no value is called d."""
        node = items[0]
        symbol = read_symbol(node, self.clock)
        follows, used = self._follows(items)
        if symbol is None or self.names.find(symbol) is not None or follows is None:
            return None
        return self.gradient(follows, "d"), used

    def _marked(self, node: Scripted) -> tuple[Term, int] | None:
        """`d_{c_t}`, where no value is called so."""
        whole = read_symbol(node, self.clock)
        if whole is None or self.names.find(whole) is not None or whole.power:
            return None
        inner = self._inner(node)
        return None if inner is None or self.names.find(inner) is None else (self.gradient(inner, "delta"), 1)

    def _word(self, items: Row, text: str) -> tuple[Term, int] | None:
        """`dc` as a word that is set upright."""
        symbol = read_symbol(items[0], self.clock)
        if symbol is None or len(text) < 2 or text[0] != "d" or self.names.find(symbol) is not None:
            return None
        base, _, moment = text[1:].lstrip("_").rpartition("_")
        step = {"next": Step(NEXT), "prev": Step(PREV, -1)}.get(moment)
        inner = replace(symbol, base=base, step=step) if step else replace(symbol, base=text[1:].lstrip("_"))
        return (self.gradient(inner, "d"), 1) if self.names.find(inner) is not None else None

    def _nabla(self, items: Row) -> tuple[Term, int]:
        node = items[0]
        behind = read_symbol(items[1], self.clock) if len(items) > 1 else None
        loss = behind is not None and self.names.is_loss(behind)
        if not isinstance(node, Scripted):
            if behind is None or loss:
                raise NotRead(node.at, "this nabla does not say of which value")
            return self.gradient(behind, "partial"), 2
        inner = read_symbol(node.sub[0], self.clock) if len(node.sub) == 1 else _lettered(node.sub, self.clock)
        if inner is None:
            raise NotRead(node.at, "this nabla does not say of which value")
        if any(flat((each,)) in ("T", "\u22a4") for each in node.sup):
            inner = replace(inner, transposed=True)
        return self.gradient(inner, "partial"), 2 if loss else 1

    # ------------------------------------------------------------------ derivatives

    def fraction(self, fraction: Fraction) -> Term | None:
        top, bottom = fraction.top, fraction.bottom
        if not bottom or not _begins_derivative(_unscripted(bottom[0])) and not _is_delta(bottom[0]):
            return None
        if not top or not (_begins_derivative(_unscripted(top[0])) or _is_delta(top[0])):
            return None
        below = self._one_symbol(bottom, fraction.at)
        if len(top) == 1:
            raise NotRead(fraction.at, "an operator of a derivative without what it differentiates")
        above = self._one_symbol(top, fraction.at)
        spelled = "d" if isinstance(_core(top[0]), Letter) else "partial"
        if self.names.is_loss(above):
            return self._of_loss(above, replace(below, at=fraction.at))
        return self._local(above, below, spelled, isinstance(top[0], Scripted), fraction.at)

    def _one_symbol(self, row: Row, at: int) -> Symbol:
        symbol = read_symbol(row[1], self.clock) if len(row) == 2 else None
        if symbol is None and len(row) == 3:  # dE of words: \partial \text{Error}^{<t>}
            symbol = _lettered(row[1:], self.clock)
        if symbol is None:
            raise NotRead(at, f"'{flat(row)[:30]}' in a derivative is no single value")
        return symbol

    def _of_loss(self, loss: Symbol, below: Symbol) -> Term:
        """The gradient of the loss. A loss with a step is that of one step, or what comes from there on."""
        if loss.step is None or loss.step.kind in (END, NEXT):
            return self.gradient(below, "partial")
        found = self.names.find(below)
        if found is None:
            raise Unknown(below)
        ahead = self._lag(loss.step) - self._lag(found.symbol.step) if found.symbol.step else 0
        shape = self.names.shapes[found.name]
        lag = self._lag(found.symbol.step)
        if ahead == 1 and not is_number(lag):
            return Term(Call(VIA, (Adjoint(found.name, lag), Value(STEP, lag + 1))), shape, below.at)
        if ahead == 1:
            step = lag - lag_to(0) + 1
            return Term(Call(VIA, (Adjoint(found.name, lag), Value(STEP, lag_to(step)))), shape, below.at)
        if ahead or found.name in self.names.graph.static:
            raise NotRead(below.at, "the loss of one step, by a value of another step or by a parameter",
                          "write the loss without a step")
        ways = [("the loss of a step is read as that of the whole sequence", "whole"),
                ("the loss of a step is read as that of a sequence that ends there", "last")]
        if found.name in self.names.graph.outputs:
            ways.insert(0, ("the loss of a step is read as what arrives at the output from outside", "outside"))
        key = ("loss", "output" if len(ways) == 3 else "value")
        way = ways[self.choices.pick(key, tuple(told for told, _ in ways))][1]
        if way == "outside":
            return Term(Outside(found.name, lag), shape, below.at)
        self._agree_on_end(way == "last", below.at)
        return self.gradient(below, "partial")

    def _agree_on_end(self, last: bool, at: int) -> None:
        if self.at_last is not None and self.at_last != last:
            raise NotRead(at, "the loss of a step is read in two ways")
        self.at_last = last

    def _local(self, above: Symbol, below: Symbol, spelled: str, marked: bool, at: int) -> Term:
        found, inner = self.names.find(above), self.names.find(below)
        for each, symbol in ((found, above), (inner, below)):
            if each is None:
                raise Unknown(symbol)
        assert found is not None and inner is not None
        self.sure = self.sure and found.sure and inner.sure
        options = (PARTIAL, TOTAL) if spelled == "partial" else (TOTAL, PARTIAL)
        words = {PARTIAL: "a derivative of one value by another is read as local: all else held constant",
                 TOTAL: "a derivative of one value by another is read along all paths"}
        form = PARTIAL if marked else options[
            self.choices.pick(("derivative", spelled), tuple(words[option] for option in options))]
        static = self.names.graph.static
        pair = tuple(Value(each.name, 0 if each.name in static else self._lag(each.symbol.step)) for each in (found, inner))
        expression = Call(form, pair)
        shape = self.cell.shape_of(expression)
        if shape is None:
            raise NotRead(at, f"the derivative of {found.name} by {inner.name} has more than two axes, or no equation gives "
                          f"{found.name}", f"claim the gradient of {inner.name}")
        if len(shape) == 2 and self.choices.pick(("layout",), (
                "", "the derivative of a vector by a vector has a row for each entry of what stands below")) == 1:
            return Term(transposed(expression), shape[::-1], at)
        return Term(expression, shape, at)

    # ------------------------------------------------------------------ sums over time

    def _sum(self, items: Row) -> tuple[Term, int]:
        node = items[0]
        core = _core(node)
        assert isinstance(core, Mark)
        if core.text != "sum":
            raise NotRead(node.at, f"a product over an index (\\{core.text}) cannot be said in a claim",
                          "write it out for steps by their numbers")
        body = self.reader.term(items[1:]) if len(items) > 1 else None
        if body is None:
            raise NotRead(node.at, "a sum of nothing")
        low, high = ("", "") if not isinstance(node, Scripted) else (flat(node.sub), flat(node.sup))
        bounds = self._bounds(low, high, node.at)
        arguments = (body.expression, *(number(bound) for bound in bounds))
        return replace(body, expression=Call(SUM_T, arguments), at=node.at, parts=()), len(items)

    def _bounds(self, low: str, high: str, at: int) -> tuple[int, ...]:
        index, _, start = low.partition("=")
        if index not in ("", self.clock, f"1\u2264{self.clock}", f"1<={self.clock}<=T"):
            raise NotRead(at, f"a sum over '{low[:20]}' is one over entries or gates",
                          "the language of claims sums over the steps, and writes everything else in vectors")
        first = 1 if start in ("", "1") else int(start) if start.isdigit() and len(start) < 4 else None
        ends = {"": 0, "T": 0, "T-1": -1, "T-2": -2, "tau": 0, "N": 0}
        last = ends.get(high, None) if high not in ("",) or start == "" else 0
        if first is None or last is None:
            raise NotRead(at, f"the bounds of this sum, from '{start}' to '{high}'")
        return () if first == 1 and last == 0 else (first, self.cell.steps + last)


def _split(row: Row) -> list[Row]:
    found: list[list[Node]] = [[]]
    for node in row:
        if isinstance(node, Mark) and node.text in (",", ";", "space", "quad"):
            found.append([])
        else:
            found[-1].append(node)
    return [tuple(part) for part in found if part]


def _lettered(part: Row, clock: str) -> Symbol | None:
    """Letters beside each other as one symbol, the scripts of the last as its own: `sum_f`, `Error^{<t>}`."""
    if not part or not all(isinstance(node, Letter) for node in part[:-1]):
        return None
    last = read_symbol(part[-1], clock)
    if last is None or last.accents:
        return None
    return replace(last, base="".join(node.text for node in part[:-1] if isinstance(node, Letter)) + last.base, at=part[0].at)


def _unscripted(node: Node) -> Node:
    return node.base if isinstance(node, Scripted) else node


def _is_delta(node: Node) -> bool:
    return isinstance(node, Letter) and node.text == "delta"
