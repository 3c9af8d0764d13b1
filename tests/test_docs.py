"""What README.md, CONTRIBUTING.md and docs/ show is run: specs, commands and Python; their lists are those of the code.

`python tests/test_docs.py` writes what commands print, and the lists, into the documents anew.

A document is run from top to bottom in an empty folder. In it
* a block of yaml that has a `name` is a spec, and is built; one of `yaml wrong` must be refused; a first line
  `# FILE.yaml` gives it a file for the commands that follow,
* a block of latex with a first line `% FILE.tex` gives a file for the commands that follow,
* a block of console holds commands, each behind `$ `, and what they print; a line `...` stands for any lines,
  and a command without output is run and no more,
* a block of python or pycon is run, and a first line `# FILE.py` gives it a file; one that is indented is an excerpt and
  stands in a module made before it,
* what stands between `<!-- made: NAME -->` and `<!-- end -->` is made by the function of that name below.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import os
import math
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
import pytest
import yaml
from click.testing import CliRunner

import lstmgen
from lstmgen.cli import commands as cli
from lstmgen import errors, pipeline
from lstmgen.spec import fields, reader as spec, switches, yamltext
from lstmgen.language import functions, parse as language, names, shapes
from lstmgen.derivation import limits
from lstmgen.derivation.build import build_graph
from lstmgen.language.evaluate import Floats
from lstmgen.schedule.make import make_schedule

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
OF_OTHERS = ("cells.md",)  # made and checked elsewhere

_BLOCK = re.compile(r"^```(\w+)( wrong)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MADE = re.compile(r"(<!-- made: ([a-z-]+)(?: ([a-z]+))? -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")

OURS = [path for path in DOCUMENTS if path.name not in OF_OTHERS]

documents = pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)


# ---------------------------------------------------------------- lists that the code has


def _table(head: str, *rows: str) -> str:
    columns = head.count("|") - 1
    return "\n".join([head, "|---" * columns + "|", *rows, ""])


def made_reserved() -> str:
    """The names that no value of a spec can have."""
    words = sorted(names.RESERVED, key=lambda word: (word[0].isupper(), word))
    return textwrap.fill("`" + "`, `".join(words) + "`", 118) + "\n"


def made_limits() -> str:
    found = {
        "size of a file": f"{yamltext.MAX_BYTES // 1024} KiB",
        "values of a file": yamltext.MAX_NODES,
        "depth of a file": yamltext.MAX_DEPTH,
        "mistakes that are looked for": errors.Mistakes.MOST,
        "characters of a name": names.LONGEST,
        "characters of `title` and `group`": spec.MAX_TITLE,
        "characters of `description`": spec.MAX_DESCRIPTION,
        "characters of a reference": spec.MAX_REFERENCE,
        "characters of a symbol": spec.MAX_SYMBOL,
        "equations": spec.MAX_EQUATIONS,
        "parameters": spec.MAX_PARAMETERS,
        "dimensions": spec.MAX_DIMS,
        "stages, once equations are split into single calls": limits.MOST_STAGES,
        "operations of one equation, once functions are put in": limits.MOST_NODES,
        "operations of all equations, likewise": limits.MOST_NODES_IN_ALL,
        "depth of one equation, likewise": limits.DEEPEST,
        "operations of all local derivatives of one stage": limits.MOST_DERIVED,
        "operations of all local derivatives of all stages": limits.MOST_DERIVED_IN_ALL,
        "entries of one value, where every symbol of a size is 4": limits.MOST_ENTRIES,
        "characters of an expression": min(fields.MAX_EXPRESSION, language.LONGEST),
        "nested brackets, or signs in a row, in an expression": language.DEEPEST,
        "axes of a shape": shapes.MOST_AXES,
        "symbols in a product of sizes": shapes.MOST_SYMBOLS,
        "characters of an axis of a shape": fields.MAX_AXIS,
        "a literal size, a factor of a size, `n` of `repeat` and `part`": shapes.LARGEST_SIZE,
        "a literal exponent, as in `a ** 3`": language.LARGEST_POWER,
        "digits of a number": min(language.MOST_DIGITS, yamltext.MAX_DIGITS),
        "power of ten of a number, up or down": min(language.LARGEST_EXPONENT, yamltext.MAX_EXPONENT),
    }
    return _table("| limit | at most |", *(f"| {what} | {most} |" for what, most in found.items()))


def made_options(command: str) -> str:
    """The options of a command, from the command itself."""
    rows = []
    for option in cli.main.commands[command].params:
        if isinstance(option, click.Option):
            spelled = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
            value = "" if option.is_flag else f" {option.metavar or option.type.name.upper()}"
            default = f" Default: `{option.default}`." if option.show_default else ""
            help_ = re.sub(r"\s*\[default: (.*?)\]", r" Default: \1.", option.help)
            rows.append(f"| {spelled}{value} | {help_}{default} |")
    return _table("| option | does |", *rows) if rows else "It has no options but `--help`.\n"


def made_commands() -> str:
    """Every command with its usage and its first sentence."""
    rows = []
    for name in cli.main.list_commands(click.Context(cli.main)):
        command = cli.main.commands[name]
        usage = command.collect_usage_pieces(click.Context(command, info_name=name))
        words = " ".join(piece for piece in usage if piece != "[OPTIONS]")
        first = command.help.split("\n\n")[0].replace("\n", " ")
        rows.append(f"| [`{' '.join(['lstmgen', name, words]).strip()}`](#{name}) | {first} |")
    return _table("| command | does |", *rows)


MAKERS = {
    "reserved": made_reserved, "limits": made_limits, "options": made_options, "commands": made_commands,
}


def with_lists(text: str) -> str:
    """The document with its lists as the code has them."""

    def remade(match: re.Match) -> str:
        arguments = [match[3]] if match[3] else []
        return match[1] + MAKERS[match[2]](*arguments) + match[5]

    return _MADE.sub(remade, text)


# ---------------------------------------------------------------- running a document


@dataclass(frozen=True)
class Ran:
    """A command of a document, what is written below it, and what it printed."""

    command: str
    written: str
    printed: str

    @property
    def agrees(self) -> bool:
        if not self.written:
            return True
        lines = _masked(self.written).splitlines()
        pattern = "\n".join("(.*\n)*?.*" if line.strip() == "..." else re.escape(line) for line in lines)
        return re.fullmatch(pattern, _masked(self.printed).rstrip("\n")) is not None


def _masked(text: str) -> str:
    """Without what differs between machines, figures in float64, and without the width of columns."""
    lines = [re.sub(r"^(\d  [a-z -]+? +passed ).*$", r"\1", line).rstrip() for line in text.splitlines()]
    lines = [re.sub(r"(?<=\S) {2,}", "  ", line) for line in lines]  # columns of a table widen with the cells
    return re.sub(r"\d\.\de[+-]\d\d", "#", "\n".join(lines))


class Runner:
    """Runs the blocks of one document in the current folder."""

    def __init__(self, python: bool = True):
        self.runs_python = python
        self.status = 0
        self.names: dict[str, object] = {}

    def blocks(self, text: str) -> Iterator[Ran]:
        for match in _BLOCK.finditer(text):
            kind, wrong, body = match[1], bool(match[2]), match[3]
            if kind == "yaml":
                self.yaml(body, wrong)
            elif kind == "console":
                yield from self.console(body)
            elif kind in ("python", "pycon"):
                file = re.match(r"# (\w+\.py)\n", body)
                if file:
                    Path(file[1]).write_text(body, encoding="utf-8")
                if self.runs_python:
                    self.session(body) if kind == "pycon" else self.python(body)
            elif kind == "c":
                self.c(body)
            elif kind == "latex":
                self.latex(body)
            else:
                assert kind in ("text", "bash", "json"), f"a block of {kind}, which nothing checks"

    def c(self, body: str) -> None:
        """It compiles without a warning, beside what the document has built."""
        compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
        if compiler:
            command = [compiler, "-std=c99", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I.", "-xc", "-"]
            subprocess.run(command, input=body, text=True, check=True)

    def latex(self, body: str) -> None:
        file = re.match(r"% (\w+\.tex)\n", body)
        if file:
            Path(file[1]).write_text(body, encoding="utf-8")

    def yaml(self, body: str, wrong: bool) -> None:
        file = re.match(r"# (\w+\.yaml)\n", body)
        if file:
            Path(file[1]).write_text(body, encoding="utf-8")
        if wrong:
            with pytest.raises(errors.SpecError):
                build_graph(spec.read(body, "<block>"))
        elif re.search(r"^name:", body, re.MULTILINE):
            pipeline.build(spec.read(body, "<block>"), ".")
        else:
            yamltext.parse(body, "<block>")

    def console(self, body: str) -> Iterator[Ran]:
        for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
            command, _, written = part.partition("\n")
            yield Ran(command, written.rstrip("\n"), self.run(command))

    def run(self, command: str) -> str:
        words = shlex.split(command)
        file = None
        if ">" in words:
            file = words[words.index(">") + 1]
            words = words[: words.index(">")]
        match words:
            case ["lstmgen", *arguments]:
                done = CliRunner().invoke(cli.main, arguments, prog_name="lstmgen")
                failed = done.exception is not None and not isinstance(done.exception, SystemExit)
                assert not failed, f"{command}: {done.exception!r}"
                self.status, printed = done.exit_code, done.output
            case ["python", *arguments]:
                done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
                self.status, printed = done.returncode, done.stdout + done.stderr
            case ["echo", "$?"]:
                printed = f"{self.status}\n"
            case ["make", *targets]:
                makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
                for target in targets:
                    known = re.search(rf"^{target}:.*##", makefile, re.MULTILINE)
                    assert known, f"make has no target {target}"
                printed = ""
            case ["git" | "pip" | "cd", *_]:
                printed = ""
            case _:
                raise AssertionError(f"no document may say '{command}': this test does not know it")
        if file:
            Path(file).write_text(printed, encoding="utf-8")
            printed = ""
        return printed

    def python(self, body: str) -> None:
        if body.startswith(" "):
            modules = [path.read_text(encoding="utf-8") for path in Path().glob("*.py")]
            assert any(body in module for module in modules), f"no module made so far holds this:\n{body}"
        else:
            exec(compile(body, "<block>", "exec"), self.names)

    def session(self, body: str) -> None:
        told = io.StringIO()
        test = doctest.DocTestParser().get_doctest(body, self.names, "block", None, 0)
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        runner = doctest.DocTestRunner(optionflags=flags)
        runner.run(test, out=told.write, clear_globs=False)
        self.names.update(test.globs)
        assert not runner.failures, told.getvalue()


@contextlib.contextmanager
def workplace(folder: Path) -> Iterator[None]:
    """In an empty folder, whose modules can be imported and are forgotten afterwards."""
    before, known, path, width = os.getcwd(), set(sys.modules), list(sys.path), os.environ.get("COLUMNS")
    os.chdir(folder)
    os.environ["COLUMNS"] = "100"
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        os.chdir(before)
        os.environ.pop("COLUMNS") if width is None else os.environ.update(COLUMNS=width)
        sys.path[:] = path
        for name in set(sys.modules) - known:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]


# ---------------------------------------------------------------- the tests


@documents
def test_what_a_document_shows_is_so(path, tmp_path):
    if path.name == "pytorch.md":
        pytest.importorskip("torch")
    if path.name == "jax.md":
        pytest.importorskip("jax")
        pytest.importorskip("flax")
        pytest.importorskip("equinox")
    with workplace(tmp_path):
        for ran in Runner().blocks(path.read_text(encoding="utf-8")):
            assert ran.agrees, (
                f"{path.name} shows something else below '{ran.command}' than it prints; to rewrite it: "
                f"python tests/test_docs.py\n--- written\n{ran.written}\n--- printed\n{ran.printed}"
            )


@documents
def test_lists_are_those_of_the_code(path):
    text = path.read_text(encoding="utf-8")
    assert with_lists(text) == text, f"{path.name} is out of step; to rewrite it: python tests/test_docs.py"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in _LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), f"{path.name} links to {link}"
        if anchor:
            heads = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in anchors, f"{path.name} links to {link}, and {target.name} has no such heading"


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for path in (ROOT / "docs").glob("*.md"):
        known = path.name == "index.md" or f"({path.name})" in index
        assert known, f"docs/index.md does not name {path.name}"


def test_documents_hold_no_paths_of_a_machine():
    for path in DOCUMENTS:
        assert not re.search(r"/(work|tmp|home|root)/", path.read_text(encoding="utf-8")), path.name


def test_the_readme_names_every_command():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `lstmgen (\w+)", text, re.MULTILINE)) == set(cli.main.commands)


def test_the_readme_begins_with_what_comes_out():
    """Its first part has a sum of `explain`, a wrong claim, the loop of a module, and a page of the document."""
    first = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## ")[0]
    for shown in ("$ lstmgen explain ", "\nThe sum\n", ": wrong\n", "\n    for t in reversed(range(T)):\n", ".png)"):
        assert shown in first, f"the first part of README.md does not show {shown!r}"
    assert (ROOT / "docs" / "images" / "page.png").stat().st_size < 150_000


def test_the_readme_shows_an_entry_of_each_table_of_functions():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^  ```python\n(.*?)^  ```$", text, re.MULTILINE | re.DOTALL)
    meaning, *spellings = re.findall(r"^ *# (\S+)\n(.*)$", block, re.MULTILINE)
    assert meaning[0] == "language/functions.py"
    shown = eval(meaning[1].strip().rstrip(","), dict(vars(functions)))
    for file, line in spellings:
        table = importlib.import_module("lstmgen." + file.removesuffix(".py").replace("/", "."))
        assert eval(f"{{{line}}}", dict(vars(table))) == {shown.name: table.TABLE[shown.name]}
    (entry,) = (entry for entry in functions.POINTWISE if entry.name == shown.name)
    assert replace(shown, meaning=entry.meaning) == entry
    values = np.linspace(-2, 2, 5)
    np.testing.assert_array_equal(shown.meaning(Floats(), values), entry.meaning(Floats(), values))


def test_citation_and_changes_are_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)  # what that version of the format demands
    assert citation["version"] == lstmgen.__version__
    assert f"\n## {lstmgen.__version__}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_contributing_names_places_that_are_there():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.*?) \| (`.*?`) \| (.*?) \|$", text, re.MULTILINE)
    assert len(rows) > 8
    for to_change, files, words in rows:
        found = [path for file in re.findall(r"`(.*?)`", files) for path in [ROOT / file] if path.exists()]
        assert len(found) == files.count("`") // 2, f"to change {to_change}: {files} is not there"
        looked_for = re.match(r"`(.*?)`", words)
        assert not looked_for or looked_for[1] in found[0].read_text(encoding="utf-8"), f"{files} has no {words}"


def test_every_command_has_its_options_told():
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for name in cli.main.commands:
        assert f"\n## {name}\n" in text, f"docs/commands.md has no heading '{name}'"
        assert f"<!-- made: options {name} -->" in text, f"docs/commands.md lists no options of {name}"


def test_every_key_of_a_spec_is_told():
    text = (ROOT / "docs" / "spec.md").read_text(encoding="utf-8")
    keys = {*spec.HEAD, *spec.SHARED, *spec.BODY} - {"name"}
    missing = {key for key in keys if not re.search(rf"^\| `{key}`", text, re.MULTILINE)}
    assert not missing, f"docs/spec.md does not tell {sorted(missing)}"
    for cell, own in switches.SWITCHES.items():
        section = text.partition(f"| `cell: {cell}` |")[2].partition("\n\n")[0]
        assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(own), cell
    for word in (*spec.INITS, *spec.NOTATIONS):
        assert re.search(rf"^\| `{word}` \|", text, re.MULTILINE), f"docs/spec.md does not tell {word}"


# ---------------------------------------------------------------- the functions of the language

_ROW = re.compile(r"^\| `(\w+)\(([^)]*)\)` \|(.*)\|$", re.MULTILINE)


def _rows() -> dict[str, tuple[str, list[str]]]:
    """Of each function the arguments and the other cells of its row."""
    text = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    return {
        name: (arguments, [cell.strip() for cell in rest.split("|")])
        for name, arguments, rest in _ROW.findall(text)
    }


def _code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_function_is_told_once():
    text = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    assert sorted(name for name, _, _ in _ROW.findall(text)) == sorted(functions.PUBLIC)


@pytest.mark.parametrize("entry", [each for each in functions.POINTWISE if each.name in functions.PUBLIC],
                         ids=lambda entry: entry.name)
def test_a_function_is_told_as_the_table_has_it(entry):
    arguments, (meaning, derivatives, kink) = _rows()[entry.name]
    assert arguments == ", ".join(entry.arguments)
    assert tuple(_code(derivatives)) == entry.derivatives
    assert kink == str(entry.kink or "")
    random = np.random.default_rng(0)
    low = 0.1 if entry.name in ("log", "log1p", "sqrt", "rsqrt") else -2
    values = [random.uniform(low, 2, 50) for _ in entry.arguments]
    if entry.name == "clip":
        values[1:] = np.sort(values[1:], axis=0)
    (told,) = _code(meaning)
    words = ("exp", "log", "tanh", "sqrt", "sin", "cos", "floor", "abs", "where")
    known = {word: getattr(np, word) for word in words} | {"erf": np.vectorize(math.erf)}
    expected = entry.meaning(Floats(), *values)
    np.testing.assert_allclose(eval(told, known, dict(zip(entry.arguments, values))), expected, rtol=1e-14)


@pytest.mark.parametrize("entry", functions.MACROS, ids=lambda entry: entry.name)
def test_what_stands_for_an_expression_is_told(entry):
    arguments, (body,) = _rows()[entry.name]
    assert (arguments, _code(body)) == (", ".join(entry.arguments), [entry.body])


@pytest.mark.parametrize("entry", [each for each in functions.OPERATIONS if each.name in functions.PUBLIC],
                         ids=lambda entry: entry.name)
def test_what_an_operation_sends_back_is_told(entry):
    arguments, (_, _, back) = _rows()[entry.name]
    assert arguments == ", ".join(entry.arguments)
    assert tuple(_code(back)) == entry.adjoints


# ---------------------------------------------------------------- the exercise of the design's page


def test_the_output_of_the_exercise_says_all_of_every_cell(spec_path):
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", text.partition("### An exercise")[2], re.MULTILINE | re.DOTALL)
    assert len(code.splitlines()) < 79  # and one line of __init__.py
    names: dict[str, object] = {}
    exec(compile(code, "<exercise>", "exec"), names)
    schedule = make_schedule(pipeline.derive(spec.load(spec_path)))
    computed = {line.split()[0] for line in names["pseudo_code"](schedule).splitlines()}
    joint = {name for gates in schedule.plan.gates for name in gates.pre_activations}  # inside one call
    assert {stage.name for stage in schedule.graph.stages} - joint <= computed
    wanted = {gather.gradient.value for gather in schedule.backward.gathers()}
    wanted |= {stored.name for stored in schedule.parameters}
    assert {f"d_{name}" for name in wanted} <= computed


# ---------------------------------------------------------------- rewriting


def rewritten(text: str) -> str:
    """A document with its lists, and what its commands print, as they are now."""
    text = with_lists(text)
    with tempfile.TemporaryDirectory() as folder, workplace(Path(folder).resolve()):
        for ran in Runner(python=False).blocks(text):
            if ran.written and not ran.agrees and "\n...\n" not in f"\n{ran.written}\n":
                before = f"$ {ran.command}\n{ran.written}\n"
                text = text.replace(before, f"$ {ran.command}\n{ran.printed.rstrip()}\n")
    return text


if __name__ == "__main__":
    for document in OURS:
        old = document.read_text(encoding="utf-8")
        new = rewritten(old)
        if new != old:
            document.write_text(new, encoding="utf-8")
            print(f"rewrote {document.relative_to(ROOT)}")
