"""Imports go one way, so that each file can be read knowing only those above it in this list."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "lstmgen"

# A file may import those above it. `__init__` is the public front: it imports what it shows, and of it
# the others may take the version alone.
ORDER = """
    errors expressions spell_text names cell resources files columns tex yamltext fields functions switches
    language spec expand schema shapes effort graph catalogue calculus chain explanation plan interpret
    points sweep vanishing unrolled paths fading worked charts
    notation spell_latex simplex drawing layout spell_tikz notebook spell_numpy render numpy_module
    blocks wording pen pages_forward pages_rules pages_backward pages_time pages_end
    pages_figures pages_unrolled pages_fading pages_worked document
    figures prove_derivation prove_module proofs
    claims scene terms spelling slips audit audit_code report
    starter terminal comparison pipeline flow cli __init__ __main__
""".split()

# The interpreter of the proofs proves something because it shares nothing with what it checks: neither
# it nor anything that it imports may import these. (spell_text, where it is reached, spells messages.)
INDEPENDENT = {"interpret": {"graph", "calculus", "chain", "plan", "spell_latex", "spell_numpy", "render"}}

MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))


@dataclass(frozen=True)
class Import:
    """One import of another file of the package."""

    module: str
    line: int


def imports(text: str, modules: list[str]) -> list[Import]:
    """Every import of the package's own files, wherever it stands, inside functions too."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            names = _imported_from(node, modules)
        elif isinstance(node, ast.Import):
            names = [_file(alias.name.split(".")) for alias in node.names]
        else:
            continue
        found += [Import(name, node.lineno) for name in names if name]
    return sorted(found, key=lambda each: each.line)


def _imported_from(node: ast.ImportFrom, modules: list[str]) -> list[str | None]:
    path = ["lstmgen"] * (node.level == 1) + (node.module.split(".") if node.module else [])
    if path != ["lstmgen"]:
        return [_file(path)]
    names = [alias.name for alias in node.names if alias.name != "__version__"]
    return [name if name in modules else "__init__" for name in names]


def _file(path: list[str]) -> str | None:
    """The file of the package that a dotted name begins with; None for somebody else's."""
    if path[0] != "lstmgen":
        return None
    return path[1] if len(path) > 1 else "__init__"


def imports_of(name: str) -> list[Import]:
    return imports((PACKAGE / f"{name}.py").read_text(encoding="utf-8"), MODULES)


def all_imports_of(name: str) -> set[str]:
    """What a file imports, and what that imports, and so on."""
    reached, ahead = set(), [name]
    while ahead:
        new = {each.module for each in imports_of(ahead.pop())} - reached
        reached |= new
        ahead += new
    return reached


@pytest.mark.parametrize("name", MODULES)
def test_a_file_imports_those_above_it(name):
    assert name in ORDER, f"lstmgen/{name}.py has no place in the order yet: add it to ORDER in {__file__}"
    above = ORDER[: ORDER.index(name)]
    found = imports_of(name)
    wrong = [f"{name}.py:{each.line} imports {each.module}" for each in found if each.module not in above]
    assert not wrong, f"{', '.join(wrong)}; files import only those above them: {' '.join(ORDER)}"


def test_the_interpreter_shares_nothing_with_what_it_checks():
    for name in INDEPENDENT.keys() & set(MODULES):
        assert not all_imports_of(name) & INDEPENDENT[name]


def test_the_package_is_one_folder():
    assert not list(PACKAGE.glob("*/*.py"))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("from .chain import derive", ["chain"]),
        ("from . import chain, __version__", ["chain"]),
        ("from . import derive", ["__init__"]),
        ("from lstmgen import chain", ["chain"]),
        ("from lstmgen.chain import derive", ["chain"]),
        ("import lstmgen.chain as c", ["chain"]),
        ("import lstmgen", ["__init__"]),
        ("def f():\n    from .chain import derive", ["chain"]),
        ("import numpy\nfrom sympy import chain", []),
    ],
)
def test_every_way_to_import_is_seen(text, expected):
    assert [each.module for each in imports(text, ["chain", "graph"])] == expected
