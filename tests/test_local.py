"""Local derivatives: what is read off is what SymPy finds, term by term and in the same order."""

import subprocess
import sys
from fractions import Fraction

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from lstmgen import derive, load
from lstmgen.derivation import local
from lstmgen.derivation.calculus import differentiated
from lstmgen.language.expressions import (
    Expression, Negative, Number, Power, Product, Quotient, Sum, Value, number, values,
)

A, B, C, D = (Value(f"v{index:05d}") for index in range(4))
HALF, MINUS_TWO = Number(Fraction(1, 2)), Number(Fraction(-2))


def test_read_off_is_what_sympy_finds(spec_path, monkeypatch):
    """In every cell."""
    read_off = local.coefficient

    def compared(expression: Expression, value: Value) -> Expression:
        found, by_sympy = read_off(expression, value), differentiated(expression, value)
        assert found is None or (found == by_sympy and repr(found) == repr(by_sympy))
        return by_sympy

    monkeypatch.setattr(local, "coefficient", compared)
    derive(load(spec_path))


LEAVES = st.sampled_from([A, B, C, D]) | st.sampled_from([1, 2, -1, -2, HALF.value]).map(number)


def larger(parts: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    few = st.lists(parts, min_size=2, max_size=3).map(tuple)
    return few.map(Sum) | few.map(Product) | parts.map(Negative)


@settings(max_examples=400, deadline=None)
@given(st.recursive(LEAVES, larger, max_leaves=7), st.sampled_from([A, B, C, D]))
@example(Sum((Product((A, B)), Product((Sum((number(1), Negative(A))), C)))), A)  # a gate and what is left of it
@example(Sum((Product((A, B)), Product((A, B)))), A)  # equal terms can be added up
@example(Negative(Product((A, Sum((B, Negative(C)))))), A)  # the sign can go into the sum
@example(Product((HALF, A, Sum((B, C)))), A)
@example(Sum((Product((HALF, A, B)), Product((HALF, A, C)))), A)  # the number can be taken out
@example(Product((A, B, B)), A)
@example(Product((A, Sum((B, B)))), A)
@example(Product((A, Sum((B, MINUS_TWO)))), A)
@example(Product((Sum((A, Negative(B))), Sum((C, D)))), B)
def test_read_off_is_what_sympy_finds_in_any_algebra(expression, value):
    assume(value in values(expression))
    found = local.coefficient(expression, value)
    if found is not None:
        by_sympy = differentiated(expression, value)
        assert found == by_sympy and repr(found) == repr(by_sympy)


@pytest.mark.parametrize(("expression", "value", "found"), [
    (Sum((Product((A, B)), Product((Sum((number(1), Negative(A))), C)))), A, Sum((B, Negative(C)))),
    (Product((C, A, B)), A, Product((B, C))),
    (Product((HALF, A)), A, HALF),
    (Sum((A, Product((B, C)))), A, number(1)),
    (Product((Sum((number(1), Negative(A))), B)), A, Negative(B)),
])
def test_most_are_read_off(expression, value, found):
    assert local.coefficient(expression, value) == found


@pytest.mark.parametrize("expression", [
    Power(A, number(2)), Quotient(B, A), Product((A, A)), Product((A, B, B)), Sum((Product((A, B)), Product((A, B)))),
    Negative(Product((A, Sum((B, C))))), Product((Sum((A, A)), B)),
])
def test_what_has_to_be_computed_is_not_read_off(expression):
    assert local.coefficient(expression, A) is None


def test_a_usual_cell_needs_no_sympy():
    code = "import sys, lstmgen; lstmgen.derive(lstmgen.load('peephole_lstm')); print('sympy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
