"""Every rule has a file in tests/invalid that breaks it, and it alone.

The file's first line says where and with which words it must be refused:
`# LINE:COLUMN: part of the message`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lstmgen.derivation.build import build_graph
from lstmgen.errors import SpecError
from lstmgen.spec.reader import load

FILES = sorted((Path(__file__).parent / "invalid").glob("*.yaml"))


def expectation(path: Path) -> tuple[int, int, str]:
    """The line, the column and the words that a file's first line promises."""
    header = path.read_bytes().splitlines()[0].decode("utf-8")
    match = re.fullmatch(r"# (\d+):(\d+): (.+)", header)
    assert match, f"{path.name} does not begin with '# LINE:COLUMN: part of the message'"
    return int(match[1]), int(match[2]), match[3]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_is_refused_as_its_first_line_says(path):
    line, column, part = expectation(path)
    with pytest.raises(SpecError) as caught:
        build_graph(load(path))
    error = caught.value
    assert len(error.mistakes) == 1, f"one mistake was made, and more were reported:\n{error}"
    assert part in str(error).splitlines()[0]
    assert (error.line, error.column) == (line, column), str(error)


def test_what_a_mistake_looks_like():
    path = next(path for path in FILES if path.stem == "key_unknown")
    with pytest.raises(SpecError) as caught:
        load(path)
    assert str(caught.value).splitlines() == [
        f"{path}:4:1: error: unknown key 'peephole'; did you mean 'peepholes'?",
        "    peephole: true",
        "    ^",
    ]
