"""Cells that nobody wrote: each builds and passes all proofs. `make fuzz` runs many more."""

from __future__ import annotations

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from random_cells import is_dead, make_spec

from lstmgen.pipeline import verify


@settings(max_examples=50, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_random_cells_pass_all_proofs(data):
    text = make_spec(lambda count: data.draw(st.integers(0, count - 1)))
    verdict = verify(text)
    assume(verdict.passed or not is_dead(verdict, text))
    assert verdict.passed, "\n".join([text, *verdict.lines()])
