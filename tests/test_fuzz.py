"""Inputs that nobody would write are taken, or refused with a reason. `make fuzz` runs many more."""

from __future__ import annotations

import pytest
from fuzz import KINDS, Input, make, run

BATCH = 50


@pytest.mark.parametrize("first", range(0, 600, BATCH))
def test_no_input_raises_anything_but_a_spec_error(first):
    outcomes = {run(make(seed)) for seed in range(first, first + BATCH)}
    assert outcomes == {"taken", "refused"}


def test_inputs_of_all_kinds_are_made():
    assert {make(seed).kind for seed in range(BATCH)} == set(KINDS)


def test_a_name_that_no_file_can_have():
    """What the fuzzer found: a `spec:` of a thousand characters."""
    assert run(Input("claims", f"spec: {'9' * 1000}\nclaims:\n  d_c: d_h\n")) == "refused"
