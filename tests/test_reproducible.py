"""Same spec, same bytes: whatever the hash seed, and whatever things are called."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lstmgen.spec.expand import expand
from lstmgen.language.functions import PUBLIC
from lstmgen.language.names import objection
from lstmgen.outputs.numpy.module import module_source
from lstmgen.pipeline import derive, load
from lstmgen.schedule.make import make_schedule
from lstmgen.resources import packaged_specs

ROOT = Path(__file__).parent.parent
PRINT = """
import sys
from lstmgen.outputs.numpy.module import module_source
from lstmgen.pipeline import derive, load
from lstmgen.schedule.make import make_schedule
for path in sys.argv[1:]:
    sys.stdout.write(module_source(make_schedule(derive(load(path))), True))
"""


def module_text(path_or_text) -> str:
    return module_source(make_schedule(derive(load(path_or_text))), verified=True)


def test_the_hash_seed_changes_nothing():
    specs = [str(path) for path in packaged_specs()]
    texts = set()
    for seed in ("0", "1", "12345"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        run = subprocess.run([sys.executable, "-c", PRINT, *specs], env=environment, capture_output=True, check=True)
        texts.add(run.stdout)
    assert len(texts) == 1


def renamed(names: set[str], taken: set[str]) -> dict[str, str]:
    """Other names of equal length: every letter moves on in the alphabet, as far as no other name is met."""
    for places in range(1, 26):
        others = {name: "".join(_moved(char, places) for char in name) for name in names}
        if not any(objection(other) or other in taken for other in others.values()):
            return others
    raise AssertionError("no renaming of these names is free")


def _moved(char: str, places: int) -> str:
    for first in ("a", "A"):
        if "a" <= char.lower() <= "z" and (char.islower() == (first == "a")):
            return chr((ord(char) - ord(first) + places) % 26 + ord(first))
    return char


WORD = re.compile(r"(?<![0-9])[A-Za-z_][A-Za-z0-9_]*")  # not the e of 1e-6


def test_renaming_everything_gives_the_same_text_up_to_the_names(spec_path):
    """SymPy orders symbols by name, knows some names, and a set would order by hash: none of it may show."""
    spec = load(spec_path)
    values = {item.name for item in (*spec.inputs, *spec.states, *spec.parameters, *spec.equations, *spec.targets)}
    taken = {dim.symbol for dim in spec.dims} | {item.name for item in (*spec.constants, *spec.functions)} | set(PUBLIC)
    names = renamed(values, taken | {argument for item in spec.functions for argument in item.arguments})
    text = expand(spec)
    head, body = text.split("\n", 1)
    other = head + "\n" + "\n".join(_renamed_line(line, names) for line in body.splitlines()) + "\n"
    first, second = module_text(text), module_text(other)
    shape = lambda source: re.sub(r" +", " ", WORD.sub("name", source))  # noqa: E731
    assert shape(first) == shape(second)
    assert _same_up_to_one_renaming(first, second)


def _renamed_line(line: str, names: dict[str, str]) -> str:
    if line.startswith(("title:", "description:", "references:", "  - ", "group:", "notation:")):
        return line
    key, colon, rest = line.partition(":")
    if not line.startswith(" "):  # keys of the top level are the language's, what follows them may name values
        return key + colon + WORD.sub(lambda match: names.get(match[0], match[0]), rest)
    return WORD.sub(lambda match: names.get(match[0], match[0]), line)


def _same_up_to_one_renaming(first: str, second: str) -> bool:
    """Every word of the one stands everywhere for one word of the other, and the other way round."""
    there: dict[str, str] = {}
    back: dict[str, str] = {}
    for a, b in zip(_words_of_code(first), _words_of_code(second), strict=True):
        if there.setdefault(a, b) != b or back.setdefault(b, a) != a:
            return False
    return True


def _words_of_code(module: str) -> list[str]:
    """The words of forward, backward and step: what stands outside of them is the same in every module."""
    functions = module[module.index("def forward("):module.index("def clip_by_norm(")]
    without_prose = re.sub(r'""".*?"""|"[^"]*"', "", functions, flags=re.DOTALL)
    lines = (line.split("#")[0] for line in without_prose.splitlines())
    return [word for line in lines for word in re.findall(r"(?<![.\w])[A-Za-z_]\w*", line)]


@pytest.mark.parametrize("path", packaged_specs(), ids=lambda path: path.stem)
def test_expanded_switches_give_the_same_module(path):
    spec = load(path)
    assert module_text(expand(spec)) == module_text(path)
