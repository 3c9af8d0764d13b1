"""True claims in random algebraic dress, and the same with one term got wrong: to measure an audit with.

`python tests/rewriting.py 200` runs so many of both for every packaged spec and prints the counts.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lstmgen.auditing.judge import Judge
from lstmgen.auditing.judgement import Judgement
from lstmgen.auditing.claims import Claim
from lstmgen.errors import Place
from lstmgen.language.expressions import (
    ONE,
    Adjoint,
    Call,
    Compare,
    Expression,
    MatVec,
    Negative,
    Number,
    Outside,
    Power,
    Product,
    Quotient,
    Sum,
    Value,
    children,
    number,
    rebuild,
    transform,
    walk,
)
from lstmgen.derivation.build import build_graph
from lstmgen.derivation.graph import Graph
from lstmgen.language.evaluate import Mismatch
from lstmgen.pipeline import load
from lstmgen.resources import packaged_specs
from lstmgen.auditing.scene import NotFinite, Scene, Setting
from lstmgen.language.shapes import ShapeMismatch, shape_of
from lstmgen.auditing.spelling import Spelling
from lstmgen.auditing.truth import Term, Truth, opened_as_claimed
from lstmgen.auditing.view import View

TWO = number(2)


@dataclass(frozen=True)
class Made:
    """A claim that was made, and what was done to it."""

    claim: Claim
    term: Term | None = None  # the term of the truth that was got wrong
    how: str = ""
    level: tuple[Term, ...] = ()


class Maker:
    """Makes claims about one cell."""

    def __init__(self, path: Path, seed: int = 0):
        self.graph: Graph = build_graph(load(path))
        self.judge = Judge(self.graph, Spelling(self.graph))
        scenes = self.judge.scenes
        self.truth = Truth(scenes.derivation)
        self.random = random.Random(f"{path.stem} {seed}")
        self.names = [
            name
            for name in scenes.derivation.adjoints
            if name in self.truth.named and self.truth.terms(name)
        ]
        setting = Setting(4, 24 if scenes.chooses else 2, scenes.sizes, seed=7, wide=scenes.chooses)
        self.other = View.everywhere(Scene(scenes.derivation, setting))

    def level(self, name: str) -> tuple[Term, ...]:
        levels = opened_as_claimed(self.truth, self.truth.terms(name), ())
        fitting = [level for level in levels if len(level) <= 8]
        return self.random.choice(fitting or levels[:1])

    def true(self) -> Made | None:
        name = self.random.choice(self.names)
        level = self.level(name)
        if any(term.last_only for term in level):
            return None
        return Made(self._claim(name, [term.expression for term in level]), level=level)

    def wrong(self) -> Made | None:
        """One term altered, so that its value is another one."""
        name = self.random.choice(self.names)
        level = self.level(name)
        if any(term.last_only for term in level):
            return None
        position = self.random.randrange(len(level))
        term = level[position]
        how, altered = self.random.choice(list(self._mutations(term.expression, len(level) > 1)))
        if altered is not None and self._is_same(altered, term):
            return None
        parts = [each.expression for each in level]
        parts[position : position + 1] = [] if altered is None else [altered]
        return Made(self._claim(name, parts), term, how, level)

    def _claim(self, name: str, parts: list[Expression]) -> Claim:
        whole = parts[0] if len(parts) == 1 else Sum(tuple(parts))
        said = self.rewritten(whole)
        return Claim(f"d_{name}", Place(1, 1), Adjoint(name), self.judge.spelling(said), said)

    def _is_same(self, altered: Expression, term: Term) -> bool:
        """A mutation that changes nothing, or that has no meaning, is none."""
        try:
            if shape_of(altered, self.graph.shapes) != shape_of(term.expression, self.graph.shapes):
                return True
            first, second = self.other.evaluate(altered), self.other.evaluate(term.expression)
        except (ShapeMismatch, Mismatch, LookupError, ValueError, TypeError):
            return True
        scale = max(float(np.abs(second).max(initial=0)), 1e-9)
        return not np.isfinite(first).all() or float(np.abs(first - second).max(initial=0)) < 1e-6 * scale

    # ------------------------------------------------------------------ mutations

    def _mutations(self, term: Expression, several: bool) -> Iterator[tuple[str, Expression | None]]:
        yield "sign", Negative(term)
        yield "factor", Product((TWO, term))
        yield "factor", Product((Number(TWO.value / 4), term))
        if several:
            yield "dropped", None
        leaves = list(
            dict.fromkeys(node for node in walk(term) if isinstance(node, (Value, Adjoint, Outside)))
        )
        for leaf in leaves:
            if not (isinstance(leaf, Value) and leaf.name in self.graph.static):
                for lag in (-1, 1):
                    other = type(leaf)(leaf.name, leaf.lag + lag)
                    yield "step", transform(term, lambda node, a=leaf, b=other: b if node == a else None)
            if isinstance(leaf, Adjoint) and f"{leaf.name}_pre" in self.truth.named:
                other = Adjoint(f"{leaf.name}_pre", leaf.lag)
                yield "gradient", transform(term, lambda node, a=leaf, b=other: b if node == a else None)
        for node, put in _sites(term):
            match node:
                case Product(factors=factors):
                    for position in range(len(factors)):
                        rest = factors[:position] + factors[position + 1 :]
                        yield "factor dropped", put(rest[0] if len(rest) == 1 else Product(rest))
                case Power(base=base):
                    yield "exponent", put(base)
                case MatVec(matrix=Call(function="transpose", arguments=(matrix,)), vector=vector):
                    yield "transposed", put(MatVec(matrix, vector))
                case Call(function="tanh", arguments=(argument,)):
                    yield "activation", put(argument)

    # ------------------------------------------------------------------ algebra that changes nothing

    def rewritten(self, expression: Expression, times: int = 6) -> Expression:
        for _ in range(self.random.randrange(times + 1)):
            sites = list(_sites(expression))
            node, put = self.random.choice(sites)
            made = self._equal(node)
            if made is None:
                continue
            candidate = put(made)
            try:
                if shape_of(candidate, self.graph.shapes) == shape_of(expression, self.graph.shapes):
                    expression = candidate
            except (ShapeMismatch, LookupError, TypeError):
                continue
        return expression

    def _equal(self, node: Expression) -> Expression | None:
        """Another form of the same."""
        ways = []
        match node:
            case Sum(terms=terms):
                ways.append(lambda: Sum(tuple(self.random.sample(terms, len(terms)))))
                ways.append(lambda: Negative(Sum(tuple(Negative(term) for term in terms))))
                match terms:
                    case (Number(value=one), Negative(operand=Value() as y)) if one == 1 and self._is(
                        y, "sigmoid"
                    ):
                        ways.append(lambda: Call("sigmoid", (Negative(self._pre(y)),)))
                    case (
                        Number(value=one),
                        Negative(operand=Power(base=base, exponent=Number(value=two))),
                    ) if one == 1 and two == 2:
                        ways.append(lambda: Product((Sum((ONE, Negative(base))), Sum((ONE, base)))))
            case Product(factors=factors):
                ways.append(lambda: Product(tuple(self.random.sample(factors, len(factors)))))
                for position, factor in enumerate(factors):
                    if isinstance(factor, Sum):
                        rest = factors[:position] + factors[position + 1 :]
                        ways.append(
                            lambda factor=factor, rest=rest: Sum(
                                tuple(Product((*rest, term)) for term in factor.terms)
                            )
                        )
            case Power(base=base, exponent=Number(value=two)) if two == 2:
                ways.append(lambda: Product((base, base)))
            case Call(function="tanh", arguments=(argument,)):
                twice = Call("sigmoid", (Product((TWO, argument)),))
                ways.append(lambda: Sum((Product((TWO, twice)), Number(-ONE.value))))
            case Value() if self._is(node, "sigmoid"):
                ways.append(lambda: Call("sigmoid", (self._pre(node),)))
                ways.append(lambda: Sum((ONE, Negative(Call("sigmoid", (Negative(self._pre(node)),))))))
            case Value() if self._is(node, "tanh"):
                ways.append(lambda: Call("tanh", (self._pre(node),)))
            case MatVec(matrix=matrix, vector=Sum(terms=terms)):
                ways.append(lambda: Sum(tuple(MatVec(matrix, term) for term in terms)))
            case Call(function="outer", arguments=(left, right)):
                turned = Call("transpose", (Call("outer", (right, left)),))
                ways.append(lambda: turned)
        if not isinstance(node, (Number, Compare)):
            ways.append(lambda: Negative(Negative(node)))
            ways.append(lambda: Product((TWO, Quotient(node, TWO))))
            ways.append(lambda: Sum((node, ONE, Number(-ONE.value))))
        return self.random.choice(ways)() if ways else None

    def _is(self, value: Value, function: str) -> bool:
        return self._pre(value) is not None and self.graph.stage(value.name).expression.function == function

    def _pre(self, value: Value) -> Value | None:
        """What a value is the activation of; a state's start is the activation of nothing."""
        if value.lag < 0:
            return None
        stage = self.graph.find(value.name)
        match stage.expression if stage else None:
            case Call(arguments=(Value(name=name, lag=0),)) if name in self.truth.named:
                return Value(name, value.lag)
        return None


def _sites(expression: Expression):
    yield expression, lambda new: new
    parts = children(expression)
    if isinstance(expression, Call) and expression.function in (
        "Slice",
        "fill",
        "Place",
        "Fold",
        "part",
        "repeat",
        "layer_norm",
        "Inverse_std",
    ):
        parts = parts[:1]
    whole = children(expression)
    for position, part in enumerate(parts):
        for node, put in _sites(part):

            def inside(new, put=put, position=position):
                return rebuild(expression, whole[:position] + (put(new),) + whole[position + 1 :])

            yield node, inside


def names_the_term(maker: Maker, made: Made, judgement: Judgement) -> bool:
    """Whether an explanation names the term that was got wrong, or the one branch that it is part of."""
    spelled = maker.judge.spelling(made.term.expression)
    reader = maker.truth.reader_of(made.term)
    through = maker.judge.spelling(reader) if reader is not None else "the output"
    alike = [term for term in made.level if maker.truth.reader_of(term) == reader]
    for finding in judgement.findings:
        if finding.kind in ("missing", "off") and finding.term == spelled:
            return True
        if finding.kind in ("missing", "off") and finding.through == through and len(alike) == 1:
            return True
    return False


@dataclass
class Count:
    """What came out."""

    true: int = 0
    called_wrong: int = 0
    mutated: int = 0
    missed: int = 0
    unnamed: int = 0

    def add(self, other: Count) -> None:
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def measure(path: Path, count: int, seed: int = 0, say=None) -> Count:
    """Judge so many true claims and so many mutated ones of one spec."""
    found, maker = Count(), Maker(path, seed)
    for _ in range(count):
        made = maker.true()
        if made is not None:
            found.true += 1
            verdict = maker.judge.judge(made.claim).verdict
            if verdict != "holds":
                found.called_wrong += 1
                if say:
                    say(f"CALLED {verdict}: {path.stem} {made.claim.name}: {made.claim.text}")
        made = maker.wrong()
        if made is not None:
            found.mutated += 1
            judgement = maker.judge.judge(made.claim)
            missed = judgement.verdict == "holds"
            found.missed += missed
            if not missed and not names_the_term(maker, made, judgement):
                found.unnamed += 1
            if say and (missed or not names_the_term(maker, made, judgement)):
                told = "; ".join(finding.sentence for finding in judgement.findings)[:160]
                say(
                    f"{'MISSED' if missed else 'UNNAMED'} {made.how}: {path.stem} {made.claim.name}: "
                    f"{made.claim.text[:140]} | was {maker.judge.spelling(made.term.expression)} | {told}"
                )
    return found


def _job(job) -> tuple[str, Count | str, list[str]]:
    path, count = job
    said: list[str] = []
    try:
        return path.stem, measure(path, count, say=said.append), said
    except NotFinite as problem:
        return path.stem, str(problem), said


def main() -> None:
    """Every packaged spec, on all cores."""
    from concurrent.futures import ProcessPoolExecutor

    count = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    paths = [path for path in packaged_specs() if len(sys.argv) < 3 or path.stem in sys.argv[2:]]
    whole = Count()
    with ProcessPoolExecutor() as pool:
        for name, found, said in pool.map(_job, [(path, count) for path in paths]):
            if isinstance(found, str):
                print(f"{name}: skipped: {found}")
                continue
            whole.add(found)
            print(
                f"{name:<28} {found.true:5d} true, {found.called_wrong} called wrong; "
                f"{found.mutated:5d} mutated, {found.missed} missed, {found.unnamed} unnamed",
                flush=True,
            )
            for line in said[:6]:
                print("   ", line, flush=True)
    named = 1 - whole.unnamed / max(whole.mutated, 1)
    print(
        f"{whole.true} true claims, {whole.called_wrong} called wrong; {whole.mutated} mutated, "
        f"{whole.missed} missed, the mutated term named in {100 * named:.1f} %"
    )
    sys.exit(1 if whole.called_wrong or whole.missed or named < 0.95 else 0)


if __name__ == "__main__":
    main()
