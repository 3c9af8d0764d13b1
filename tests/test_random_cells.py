"""Cells that nobody wrote: each builds and passes all proofs. `make fuzz` runs many more.

The seeds are fixed. What hypothesis draws depends on the constants in the source under test, so that a change
of a message could bring up other cells.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from random_cells import is_dead, make_spec

from lstmgen.pipeline import verify


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "found").glob("*.yaml")), ids=lambda path: path.stem)
def test_cells_that_once_failed(path):
    verdict = verify(path)
    assert verdict.passed, "\n".join(verdict.lines())


@pytest.mark.parametrize("seed", range(60))
def test_random_cells_pass_all_proofs(seed):
    text = make_spec(random.Random(seed).randrange)
    verdict = verify(text)
    if not verdict.passed and is_dead(verdict, text):
        pytest.skip("dead: a clip or a choice that never opens")
    assert verdict.passed, "\n".join([text, *verdict.lines()])
