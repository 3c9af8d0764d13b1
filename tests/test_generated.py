"""generated/ is what the specs give, byte for byte."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import pytest

from lstmgen.document.catalogue import zoo_markdown
from lstmgen.pipeline import build
from lstmgen.resources import packaged_specs

GENERATED = Path(__file__).parent.parent / "generated"
COMMAND = "make generated"


def test_generated_files_are_in_step(spec_path, tmp_path):
    # The proofs of every spec have their own test: what is compared here is what they proved.
    built = build(spec_path, tmp_path)
    for file in built.files:
        kept = GENERATED / file.name
        assert kept.exists(), f"{kept.name} is missing: run `{COMMAND}`"
        new, old = file.read_text(encoding="utf-8"), kept.read_text(encoding="utf-8")
        if new != old:
            lines = difflib.unified_diff(old.splitlines(), new.splitlines(), str(kept), "built now", lineterm="", n=1)
            raise AssertionError("\n".join([f"{kept.name} is out of step: run `{COMMAND}`", *list(lines)[:40]]))


def test_no_stray_files():
    expected = {f"{path.stem}{ending}" for path in packaged_specs() for ending in (".py", ".tex")}
    found = {path.name for path in GENERATED.iterdir() if path.suffix != ".pdf" and path.name != "__pycache__"}
    assert found <= expected, f"nobody makes {sorted(found - expected)}: take them out"


def test_the_page_of_cells_is_in_step():
    page = GENERATED.parent / "docs" / "zoo.md"
    assert page.read_text(encoding="utf-8") == zoo_markdown(), "docs/zoo.md is out of step: run `make generated`"


@pytest.mark.parametrize("path", sorted(GENERATED.glob("*.tex")), ids=lambda path: path.stem)
def test_no_document_prints_what_rounding_left_of_zero(path):
    """It is another on another machine: the bytes would be too."""
    assert not re.findall(r"\d\\cdot 10\^\{-(?:1[6-9]|[2-9]\d)\}", path.read_text(encoding="utf-8"))
