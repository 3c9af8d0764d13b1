"""Sentences with formulas, code and references: what is marked, and what a text of a spec can do."""

from __future__ import annotations

import pytest

from lstmgen.document.inline import (
    CLOSE, EQUATION, OPEN, Code, Emphasis, Fork, Math, Reference, code, emphasis, equation, fork, math, nodes, section,
    spoken, words,
)
from lstmgen.document.latex.text import set_text


def test_pieces_are_read_back():
    text = f"The {emphasis('adjoint ' + math('x_t'))} of {code('a_b')}, see {equation(12)} in {fork(2, 'two ' + math('y'))}."
    assert nodes(text) == (
        "The ", Emphasis(("adjoint ", Math("x_t"))), " of ", Code("a_b"), ", see ", Reference(EQUATION, "12"), " in ",
        Fork("2", ("two ", Math("y"))), ".")


def test_in_latex():
    assert set_text(words(r"$\bm v$ & a gate's") + " " + code("a_b") + " " + section("rule")) == (
        r"$\bm v$ \& a gate's \texttt{a\_b} Section~\ref{sec:rule}")


@pytest.mark.parametrize("hostile", [f"{OPEN}m\\input{{x}}{CLOSE}", f"{CLOSE}{OPEN}", r"$\input{x}$", f"a{OPEN}rx|y{CLOSE}"])
def test_a_text_of_a_spec_stays_a_text(hostile):
    assert all(isinstance(node, str) for node in nodes(spoken(hostile)))
    assert "\\input" not in set_text(spoken(hostile)) and nodes(code(hostile)) == (Code(spoken(hostile)),)


@pytest.mark.parametrize("wrong", [f"{OPEN}ea", f"a{CLOSE}"])
def test_marks_that_do_not_meet_are_refused(wrong):
    with pytest.raises(ValueError, match="mark"):
        nodes(wrong)


def test_a_formula_that_is_not_closed_is_refused():
    with pytest.raises(ValueError, match="open"):
        words("a $b")
