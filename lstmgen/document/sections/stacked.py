"""The stacked form: several matrices under each other as one, and what that says about adding up the gates."""

from __future__ import annotations

from ...derivation.chain import TRANSPOSED
from ...language.expressions import Adjoint, Call, MatVec, Value, walk
from ...language.shapes import Dim
from ...schedule.plan import Stack
from ..blocks import Block, Formula, Prose, Section
from ..inline import code, math
from ..latex.lines import width
from ..pen import Pen
from ..wording import count, listed

WIDEST_IN_A_SENTENCE = 180.0  # points of a formula


def stacked_section(pen: Pen) -> Section | None:
    stacks = [stack for block in pen.plan.blocks for stack in block.stacks if len(stack.factors) > 1]
    blocks: list[Block] = []
    if stacks:
        blocks.append(Prose(
            "Several stages multiply the same vector. With their matrices under each other, their products are one product. "
            f"The module stores and computes them in this form; {code('named')} gives the parts under their own names."))
        seen: set[tuple[str, ...]] = set()
        for stack in stacks:
            stages = tuple(factor.stage for factor in stack.factors)
            blocks += _stack_blocks(pen, stack, stages in seen)
            seen.add(stages)
        blocks.append(Prose(
            "This derives nothing new. The column of adjoints times the row vector has the gradients of all parts under each "
            "other. The transpose of the tall matrix times the column of adjoints is the sum of what the parts send back to "
            "the vector: the contributions of the parts can be computed one by one and added."))
    for name in (stage.name for stage in pen.graph.stages if pen.graph.is_cut(stage.name)):
        blocks += _cut_blocks(pen, name)
    return Section("The stacked form", "stacked", tuple(blocks)) if blocks else None


def _stack_blocks(pen: Pen, stack: Stack, again: bool) -> list[Block]:
    """`again`: the same stages were shown with another vector."""
    graph = pen.graph
    vector = pen.plain(stack.vector)
    matrices = r"\\".join(pen.plain(Value(factor.parameter)) for factor in stack.factors)
    adjoints = r"\\".join(pen.plain(Adjoint(factor.stage)) for factor in stack.factors)
    stages = r"\\".join(pen.plain(Value(factor.stage)) for factor in stack.factors)
    gradients = r"\\".join(rf"\delta {pen.plain(Value(factor.parameter))}" for factor in stack.factors)
    height = Dim()
    for factor in stack.factors:
        height += graph.shapes[factor.parameter][0]
    shape = math(pen.shape((height, graph.shapes[stack.factors[0].parameter][1])))
    matrix, row = _column(matrices), _row_vector(pen, stack.vector)
    over_time = rf"\sum_{{t=1}}^{{{pen.notation.steps}}}"
    lead = f"For {math(vector)} the matrix is {code(stack.name)} in the module, of shape {shape}"
    joined = r"; \allowbreak ".join(pen.plain(Adjoint(factor.stage)) for factor in stack.factors)
    outer = rf"{over_time}[{joined}]\,{row}"
    if again and width(outer) <= WIDEST_IN_A_SENTENCE:
        pen.printed.append(outer)
        blocks: list[Block] = [Prose(f"{lead}, with the gradient {math(outer)}.")]
    else:
        outer = rf"{_column(gradients)}={over_time}{_column(adjoints)}{row}"
        blocks = [Prose(lead + ":"), Formula(rf"{_column(stages)}={matrix}{vector}+\cdots ,\qquad {outer}")]
    if stack.vector.name in pen.derivation.adjoints:  # no gradient passes a stop
        at = pen.plain(Adjoint(stack.vector.name, stack.vector.lag))
        one_by_one = "+".join(
            rf"{_transposed(pen, factor.parameter)}{pen.plain(Adjoint(factor.stage))}" for factor in stack.factors)
        rest = r"+\cdots" if _has_other_terms(pen, stack) else ""
        blocks.append(Formula(rf"{at}={matrix}^{{\!\mathsf T}}{_column(adjoints)}{rest}={one_by_one}{rest}"))
    return blocks


def _has_other_terms(pen: Pen, stack: Stack) -> bool:
    """Whether more comes back to the vector than through the stack."""
    readers = {factor.stage for factor in stack.factors}
    forks = pen.derivation.adjoints[stack.vector.name].forks
    inside = [fork for fork in forks if fork.reader in readers and fork.lag == -stack.vector.lag and fork.kind == TRANSPOSED]
    return len(inside) < len(forks)


def _transposed(pen: Pen, parameter: str) -> str:
    text = pen.plain(Value(parameter))
    raised = pen.notation.has_superscript(parameter)
    return rf"({text})^{{\mathsf T}}" if raised else rf"{text}^{{\mathsf T}}"


def _row_vector(pen: Pen, vector: Value) -> str:
    text = pen.plain(vector)
    named = vector.name in pen.notation.symbols
    raised = not text.startswith("[") and (not named or pen.notation.has_superscript(vector.name, "t"))
    return rf"({text})^{{\mathsf T}}" if raised else rf"{text}^{{\mathsf T}}"


def _column(entries: str) -> str:
    return rf"\begin{{pmatrix}}{entries}\end{{pmatrix}}"


# ---------------------------------------------------------------- a spec that is in stacked form itself


def _cut_blocks(pen: Pen, name: str) -> list[Block]:
    """A product whose parts are the arguments of the gates: the sum over the gates, which one transpose hides."""
    product = _product_of(pen, name)
    if product is None:
        return []
    matrix, vector, reader = product
    pieces = _pieces(pen, vector)
    parts = len(pen.derivation.adjoints[name].forks)
    [block, piece, part] = pen.letters("BMNA", "UVSQ", "jklm")
    adjoint = rf"(\delta {pen.plain(Value(reader))})_{{{part}}}"
    whole = pen.plain(Value(matrix))
    rows = rf"\bm {block}_{part}"
    told = (f"The spec is in stacked form itself: {pen.value(reader)} is one product, "
            f"{math(whole + pen.plain(vector))}, and its {count(parts, 'part')} are what the gates are made from. "
            f"Let {math(rows)} be the rows of {math(whole)} that make part {math(part)}, counted from 0, "
            f"and {math(adjoint)} that part of {math(pen.plain(Adjoint(reader)))}. Then the product with the transpose "
            f"is a sum "
            "over the parts:")
    total_ = rf"\sum_{{{part}=0}}^{{{parts - 1}}}"
    blocks: list[Block] = [
        Prose(told),
        Formula(rf"{pen.plain(Adjoint(vector.name))}={_transposed(pen, matrix)}\delta {pen.plain(Value(reader))}"
                rf"={total_}{rows}^{{\mathsf T}}\,{adjoint}")]
    if pieces:
        said = [rf"{pen.plain(Adjoint(each.name, each.lag))}={total_}\bm {piece}_{{{part},{index}}}^{{\mathsf T}}\,{adjoint}"
                + (r"+\cdots" if len(pen.derivation.adjoints[each.name].forks) > 1 else "")
                for index, each in enumerate(pieces, 1)]
        columns = rf"{rows}=[\bm {piece}_{{{part},1}},\dots,\bm {piece}_{{{part},{len(pieces)}}}]"
        blocks += [
            Prose(f"The columns of {math(rows)} belong to the pieces of {math(pen.plain(vector))}: with "
                  f"{math(columns)}, one block of columns for each of "
                  f"{listed([math(pen.plain(each)) for each in pieces])},"),
            Formula(r",\qquad ".join(said))]
    blocks.append(Prose(
        "So each part can be solved for alone, and what they send back is added. No inverse is needed, and the stacked "
        "form gives nothing that the sum does not."))
    return blocks


def _product_of(pen: Pen, name: str) -> tuple[str, Value, str] | None:
    """The matrix and the vector of which a value is the product, with what is added, and the stage that computes it."""
    products = [node for node in walk(pen.graph.stage(name).expression) if isinstance(node, MatVec)]
    match products:
        case [MatVec(matrix=Value(name=matrix), vector=Value() as vector)] if (
            matrix in pen.graph.static and vector.name in pen.derivation.adjoints and not vector.lag
        ):
            return matrix, vector, name
    return None


def _pieces(pen: Pen, vector: Value) -> list[Value]:
    """The values that lie under each other in a vector."""
    stage = pen.graph.find(vector.name)
    match stage.expression if stage else None:
        case Call(function="concat", arguments=arguments) if all(isinstance(each, Value) for each in arguments):
            return [each for each in arguments if isinstance(each, Value) and each.name in pen.derivation.adjoints]
    return []
