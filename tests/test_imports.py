"""Imports go one way between folders, so that each can be read knowing only those before it in this list."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "lstmgen"

# A folder, or a file at the top, may import those before it and its own files. `__init__` is the public front: it
# imports what it shows, and of it the others may take the version alone.
ORDER = """
    errors resources files printed language spec derivation numerics schedule proofs outputs document pipeline weights
    auditing latexin api cli __init__ __main__
""".split()

# The interpreter of the proofs proves something because it shares nothing with what it checks: neither
# it nor anything that it imports may import these.
APART = ("derivation", "schedule", "outputs", "document")

MODULES = sorted(".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in PACKAGE.rglob("*.py"))


@dataclass(frozen=True)
class Import:
    """One import of another file of the package, by its dotted name inside the package."""

    module: str
    line: int


def imports(text: str, name: str, modules: list[str]) -> list[Import]:
    """Every import of the package's own files in the text of module `name`, wherever it stands."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            names = _imported_from(node, name, modules)
        elif isinstance(node, ast.Import):
            names = [_file(alias.name.split("."), modules) for alias in node.names]
        else:
            continue
        found += [Import(each, node.lineno) for each in names if each]
    return sorted(found, key=lambda each: each.line)


def _imported_from(node: ast.ImportFrom, name: str, modules: list[str]) -> list[str | None]:
    above = name.split(".")[: -node.level] if node.level else []
    path = ["lstmgen"] * bool(node.level) + above + (node.module.split(".") if node.module else [])
    return [_file([*path, alias.name], modules) for alias in node.names if alias.name != "__version__"]


def _file(path: list[str], modules: list[str]) -> str | None:
    """The file of the package that the longest beginning of a dotted name stands for; None for somebody else's."""
    if path[0] != "lstmgen":
        return None
    for length in range(len(path), 1, -1):
        name = ".".join(path[1:length])
        if name in modules:
            return name
        if f"{name}.__init__" in modules:
            return f"{name}.__init__"
    return "__init__"


def imports_of(name: str) -> list[Import]:
    return imports((PACKAGE / (name.replace(".", "/") + ".py")).read_text(encoding="utf-8"), name, MODULES)


def all_imports_of(name: str) -> set[str]:
    """What a file imports, and what that imports, and so on."""
    reached, ahead = set(), [name]
    while ahead:
        new = {each.module for each in imports_of(ahead.pop())} - reached
        reached |= new
        ahead += new
    return reached


def room(name: str) -> str:
    """The folder at the top that a module belongs to; a file at the top is a room of its own."""
    return name.partition(".")[0]


@pytest.mark.parametrize("name", MODULES)
def test_a_file_imports_its_own_folder_and_those_before_it(name):
    assert room(name) in ORDER, f"lstmgen/{room(name)} has no place in the order yet: add it to ORDER in {__file__}"
    allowed = {*ORDER[: ORDER.index(room(name))], room(name)}
    wrong = [f"{name}:{each.line} imports {each.module}" for each in imports_of(name) if room(each.module) not in allowed]
    assert not wrong, f"{', '.join(wrong)}; folders import only those before them: {' '.join(ORDER)}"


def test_no_circle_of_imports_within_a_folder():
    for name in MODULES:
        assert name not in all_imports_of(name), f"{name} imports itself, by way of others"


def test_the_interpreter_shares_nothing_with_what_it_checks():
    assert not {name for name in all_imports_of("proofs.interpret") if room(name) in APART}


def test_every_folder_says_what_lives_in_it():
    for path in PACKAGE.rglob("__init__.py"):
        told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        assert path.parent == PACKAGE or ("May import: " in told and "Start reading at " in told), path


@pytest.mark.parametrize(
    "text, expected",
    [
        ("from .chain import derive", ["derivation.chain"]),
        ("from . import chain, __version__", ["derivation.chain"]),
        ("from . import derive", ["derivation.__init__"]),
        ("from ..spec.reader import load", ["spec.reader"]),
        ("from ..spec import reader", ["spec.reader"]),
        ("from .. import spec", ["spec.__init__"]),
        ("from .. import load", ["__init__"]),
        ("from lstmgen.derivation import chain", ["derivation.chain"]),
        ("from lstmgen.derivation.chain import derive", ["derivation.chain"]),
        ("import lstmgen.derivation.chain as c", ["derivation.chain"]),
        ("import lstmgen", ["__init__"]),
        ("def f():\n    from .chain import derive", ["derivation.chain"]),
        ("import numpy\nfrom sympy import chain", []),
    ],
)
def test_every_way_to_import_is_seen(text, expected):
    modules = ["__init__", "derivation.__init__", "derivation.chain", "derivation.graph", "spec.__init__", "spec.reader"]
    assert [each.module for each in imports(text, "derivation.graph", modules)] == expected
