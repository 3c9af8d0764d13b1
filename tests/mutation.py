"""Do the proofs and the tests notice a fault? Faults are made on purpose, one at a time.

    python tests/mutation.py [COUNT] [SEED]

draws COUNT faults (0: all of them) in what derives and what spells the module, and counts those that
nobody notices. Each is held against three kinds of witnesses, in this order: the proofs of `verify` on
cells that among them use the whole language, the files in `generated/`, byte for byte, and those tests of
the suite that are of derivation and module. What is asked for is that 95 % are noticed, and that each of the rest is
explained by the table EXPLAINED.

Faults are made in the text of a module or a template and live in a forked process alone: no file is
changed.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.abc
import importlib.util
import io
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODULES = ("language/functions", "language/constants", "derivation/chain", "derivation/calculus", "numerics/vanishing",
           "derivation/reading", "derivation/checks", "derivation/normal", "derivation/build",
           "schedule/names", "schedule/plan", "schedule/forward", "schedule/backward", "schedule/storage", "schedule/tape",
           "outputs/numpy/functions", "outputs/numpy/spelling", "outputs/numpy/forward", "outputs/numpy/backward",
           "outputs/numpy/places", "outputs/numpy/module", "outputs/numpy/lines")
TEMPLATES = ("numpy/module.py.jinja", *(f"numpy/helpers/{path.name}" for path in sorted(
    (ROOT / "templates/numpy/helpers").glob("*.py"))))
SECONDS = 240  # a fault that lets a witness run longer counts as noticed
WITNESSES = ("proofs", "bytes", "tests", "time")
TESTS = (("graph", "invalid", "switches", "interpret", "schedule"), ("checkpoint", "module", "terminal"),
         ("vanishing", "random_cells"), ("fence",))

_TEXT_FAULTS = (("+", "-"), ("-", "+"), ("*", "+"), ("/", "*"), ("<", ">"), (">", "<"), ("0", "1"), ("1", "2"),
                (" == ", " != "), ("True", "False"), ("False", "True"), (" not ", " "))
_COMPARISONS = {ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE,
                ast.GtE: ast.Gt, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is}
_OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr}
_TRANSPARENT = ("reversed", "sorted", "negative", "Negative", "tuple", "set", "_opened", "_indented")

# Faults that change nothing which anybody could notice: (file, part of the line, part of what is done to it) -> why.
EXPLAINED = {
    ("numerics/vanishing.py", 'step, nothing = "1e-6", "1e-7"', ""):
        "a quick look in floats, that only decides for which branches 90 digits are worth their time",
    ("numerics/vanishing.py", "return share * chosen + (self.number(1) - share) * other", ""):
        "any mixture will do in which both sides count",
    ("numerics/vanishing.py", 'step, nothing = "1e-30", "1e-50"', "'1e-30'"):
        "what is constant is so at any distance, and what is not changes at nearly any",
    ("numerics/vanishing.py", "return all(abs(longer[name] - short[name])", "LtE -> Lt"):
        "no difference is 1e-50 to the last digit",
    ("numpy/module.py.jinja", 'dtype{{ (", False" if checkpoint', "False -> True"):
        "between checkpoints the flag of a stretch is set when the stretch is computed anew",
    ("schedule/plan.py", "return [Gates(run[0].function,", "0 -> 1"):
        "a run has one function, whichever of its gates is asked",
    ("outputs/numpy/forward.py", "for term in joined.terms), SUM, 1, True)", "1 -> 2"):
        "a function of one argument does not ask for its rank",
    ("derivation/reading.py", "if in_all > MOST_NODES_IN_ALL", "Gt -> GtE"):
        "one operation among all that a cell may have",
    ("numpy/helpers/init_orthogonal.py", "np.where(np.diag(r) < 0, -1, 1)", ""):
        "a column with the other sign is as orthogonal",
    ("schedule/plan.py", "return tuple(stage for stage in self.graph.stages if self.phases", "without tuple()"):
        "the truth of the tuple is asked for the loop, that no cell lacks, and for the last step, to indent lines if any",
    ("derivation/reading.py", "return node", "returns nothing"):
        "`transform` takes None for: the node as it is",
    ("outputs/numpy/spelling.py", "full = any(part.rank == rank and not is_fill(operand)", "and <-> or"):
        "no operation joins nothing but copies of scalars: none in specs/, none in 150 random cells",
    ("derivation/calculus.py", "numerator = product(number, *sorted(above, key=factor_order))", "swapped"):
        "`product` puts numbers in front wherever they come",
    ("outputs/numpy/spelling.py", "product(HALF, chosen)", "swapped"):
        "`product` puts numbers in front wherever they come",
    ("derivation/calculus.py", "if exponent.is_Rational and exponent < 0:", "Lt -> LtE"):
        "SymPy makes no power of nought",
    ("derivation/calculus.py", "isinstance(numerator, Number) and numerator.value < 0", "Lt -> LtE"):
        "SymPy divides no nought",
}


@dataclass(frozen=True)
class Fault:
    """One change to one file."""

    file: str  # a module of lstmgen or a template
    line: int
    source: str  # the line as it was
    what: str
    text: str  # of the whole file with the change in it

    @property
    def explained(self) -> str:
        """Why nobody can notice it; '' where there is no reason."""
        return next((why for (file, line, what), why in EXPLAINED.items()
                     if file == self.file and line in self.source and what in self.what), "")


# ---------------------------------------------------------------- faults


def faults() -> list[Fault]:
    """Every fault that this program knows how to make."""
    found = []
    for module in MODULES:
        found += _in_module(module)
    for template in TEMPLATES:
        found += _in_template(template)
    return found


def _in_module(module: str) -> Iterator[Fault]:
    source = (ROOT / "lstmgen" / f"{module}.py").read_text(encoding="utf-8")
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line.encode()))
    data = source.encode()

    def replaced(node: ast.AST, new: str) -> str:
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        return (data[:start] + new.encode() + data[end:]).decode()

    tree = ast.parse(source)
    prose, plain = _prose(tree), ast.dump(tree)
    for node in ast.walk(tree):
        for what, new in _changes(node, prose):
            text = replaced(node, new)
            with contextlib.suppress(SyntaxError):
                if text != source and ast.dump(ast.parse(text)) != plain:
                    yield Fault(f"{module}.py", node.lineno, lines[node.lineno - 1].strip(), what, text)


def _prose(tree: ast.AST) -> set[int]:
    """Texts that no module and no derivation holds: docstrings, messages, LaTeX, annotations."""
    ids: set[int] = set()

    def all_of(*nodes: ast.AST) -> None:
        ids.update(id(inner) for node in nodes for inner in ast.walk(node))

    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            all_of(node)
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in ("add", "fatal", "TypeError", "AssertionError", "ShapeMismatch") and len(node.args) > 1:
                all_of(*node.args[1:])
            elif name in ("TypeError", "AssertionError"):
                all_of(node)
            for keyword in node.keywords:
                if keyword.arg == "rule":
                    all_of(keyword.value)
            if name in ("Pointwise", "Macro", "Operation"):
                all_of(*(arg for arg in node.args if isinstance(arg, ast.Constant) and "\\" in str(arg.value)))
        elif isinstance(node, ast.AnnAssign):
            all_of(node.annotation)
        elif isinstance(node, (ast.FunctionDef, ast.Lambda)):
            all_of(*filter(None, [getattr(node, "returns", None), *(a.annotation for a in node.args.args)]))
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            all_of(node)
    return ids


def _changes(node: ast.AST, prose: set[int]) -> Iterator[tuple[str, str]]:
    """(what is changed, the node's new text)."""
    if id(node) in prose:
        return
    match node:
        case ast.Compare(left=left, ops=[operator], comparators=[right]) if type(operator) in _COMPARISONS:
            new = ast.Compare(left, [_COMPARISONS[type(operator)]()], [right])
            yield f"{type(operator).__name__} -> {type(new.ops[0]).__name__}", f"({ast.unparse(new)})"
        case ast.BoolOp(op=operator, values=parts):
            other = ast.Or() if isinstance(operator, ast.And) else ast.And()
            yield "and <-> or", f"({ast.unparse(ast.BoolOp(other, parts))})"
            for index in range(len(parts)):
                rest = parts[:index] + parts[index + 1:]
                new = rest[0] if len(rest) == 1 else ast.BoolOp(operator, rest)
                yield f"without the condition '{ast.unparse(parts[index])}'", f"({ast.unparse(new)})"
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield "without its sign or 'not'", f"({ast.unparse(operand)})"
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
            new = ast.BinOp(left, _OPERATORS[type(operator)](), right)
            yield f"{type(operator).__name__} -> {type(new.op).__name__}", f"({ast.unparse(new)})"
        case ast.Constant(value=bool(value)):
            yield f"{value} -> {not value}", str(not value)
        case ast.Constant(value=int(value)):
            yield f"{value} -> {value + 1}", str(value + 1)
        case ast.Constant(value=str(value)) if value:
            for old, new in _TEXT_FAULTS:
                if old in value:
                    yield f"{value!r}: {old} -> {new}", repr(value.replace(old, new, 1))
                    if value.count(old) > 1:
                        head, _, tail = value.rpartition(old)
                        yield f"{value!r}: last {old} -> {new}", repr(head + new + tail)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield "the other way round", f"({ast.unparse(ast.IfExp(test, orelse, body))})"
        case ast.Call(func=ast.Name(id=name), args=[only], keywords=[]) if name in _TRANSPARENT:
            yield f"without {name}()", f"({ast.unparse(only)})"
        case ast.Call(func=function, args=[first, second], keywords=[]):
            swapped = ast.Call(function, [second, first], [])
            yield f"arguments of {ast.unparse(function)[:30]} swapped", ast.unparse(swapped)
        case ast.Expr() | ast.Assign() | ast.AugAssign() | ast.Continue():
            yield f"without '{ast.unparse(node)[:60]}'", "pass"
        case ast.Return(value=value) if value is not None and not isinstance(value, ast.Constant):
            yield "returns nothing", "return None"


def _in_template(name: str) -> Iterator[Fault]:
    lines = (ROOT / "templates" / name).read_text(encoding="utf-8").splitlines(keepends=True)
    prose = _docstring_lines(lines)
    for number, line in enumerate(lines):
        code = line.split("  #")[0]
        if number in prose or not code.strip() or code.lstrip().startswith(("#", "{#", "{% endif", "{% endfor")):
            continue
        for what, new in _template_changes(line):
            changed = "".join(lines[:number] + [new] + lines[number + 1:])
            yield Fault(name, number + 1, line.strip(), f"{line.strip()[:70]}: {what}", changed)


def _docstring_lines(lines: list[str]) -> set[int]:
    inside, found = False, set()
    for number, line in enumerate(lines):
        quotes = line.count('"""')
        if inside or quotes:
            found.add(number)
        inside ^= quotes % 2 == 1
    return found


def _template_changes(line: str) -> Iterator[tuple[str, str]]:
    for old, new in (*_TEXT_FAULTS, ("{% if ", "{% if not "), ("np.maximum", "np.minimum"), ("np.real(a)", "a"),
                     ("is None", "is not None"), (" and ", " or "), (".mean(", ".sum("), ("zeros", "ones")):
        at = -1
        while (at := line.find(old, at + 1)) >= 0:
            if old in "+-*/<>01" and _in_message(line, at) or "  #" in line[:at]:
                continue
            yield f"{old.strip()} -> {new.strip()} at {at + 1}", line[:at] + new + line[at + len(old):]
    if not line.strip().startswith(("{%", "def ", "class ", "if ", "for ", "else", "try", "except", "return {", ")", "}")):
        if line.rstrip()[-1:] not in ("(", "{", "["):
            yield "left out", re.match(r" *", line)[0] + ("pass\n" if line.strip()[-1:] != "," else "\n")


def _in_message(line: str, at: int) -> bool:
    """Inside of a text for people, or of a placeholder."""
    return line.count('"', 0, at) % 2 == 1 or "{{" in line[:at] and "}}" in line[at:] or line.lstrip().startswith("{%")


# ---------------------------------------------------------------- witnesses


def _proofs() -> str | None:
    """What `verify` says of cells that among them use every function and every kind of value."""
    import test_proofs as cells

    from lstmgen.derivation.chain import derive
    from lstmgen.derivation.build import build_graph
    from lstmgen.pipeline import verify
    from lstmgen.resources import find_spec

    for text in (cells.PEEPHOLES, cells.MANY, cells.LOSS + "loss_at: last\n", cells.LOSS, cells.RNN, cells.MET):
        if not verify(text).passed:
            return text
    for name in ("gru", "stacked_lstm", "ng_lstm_last", "indrnn", "minlstm", "fgr_lstm", "phased_lstm"):
        if not verify(find_spec(name)).passed:
            return name
    for body in (*cells.BODIES, *cells.STILL):
        graph = build_graph(cells.read(cells.one(body), ""))
        derivation = derive(graph)
        module = cells.generated(graph, derivation)
        for prove in (cells.high_precision, cells.knock_out):
            if cells.failed(prove(graph, derivation)):
                return body
        for prove in (cells.meaning, cells.complex_step, cells.splitting):
            if cells.failed(prove(graph, module)):
                return body
    return None


def _tests() -> str | None:
    import pytest

    for names in TESTS:
        files = [str(ROOT / "tests" / f"test_{name}.py") for name in names]
        status = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *files])
        if status != 0:
            return " ".join(names)
    return None


def _bytes() -> str | None:
    """The files in generated/, without the checksums."""
    from lstmgen.outputs.numpy.module import module_source
    from lstmgen.pipeline import derive, load
    from lstmgen.schedule.make import make_schedule
    from lstmgen.resources import packaged_specs

    for path in packaged_specs():
        made = module_source(make_schedule(derive(load(path))), verified=True)
        kept = (ROOT / "generated" / f"{path.stem}.py").read_text(encoding="utf-8")
        if made != re.sub(r"# lstmgen: sha256:.*\n", "", kept, count=1):
            return path.stem
    return None


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives a module of lstmgen another text."""

    def __init__(self, fault: Fault):
        self.name, self.text = "lstmgen." + fault.file.removesuffix(".py").replace("/", "."), fault.text

    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name == self.name else None

    def exec_module(self, module) -> None:
        module.__file__ = str(ROOT / (self.name.replace(".", "/") + ".py"))
        exec(compile(self.text, module.__file__, "exec"), module.__dict__)


def _install(fault: Fault, folder: Path) -> None:
    if fault.file in TEMPLATES:
        shutil.copytree(ROOT / "templates", folder / "templates")
        (folder / "templates" / fault.file).write_text(fault.text, encoding="utf-8")
        from lstmgen import resources

        resources.TEMPLATES = folder / "templates"
    else:
        sys.meta_path.insert(0, _Changed(fault))


def _held(fault: Fault | None, pipe: int) -> None:
    """In a process of its own: who notices the fault, written to the pipe."""
    found = ""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()), \
            contextlib.redirect_stderr(io.StringIO()):
        if fault is not None:
            _install(fault, Path(folder))
        for name, witness in (("proofs", _proofs), ("bytes", _bytes), ("tests", _tests)):
            try:
                noticed = witness()
            except BaseException as error:  # whatever a fault makes of the program
                noticed = repr(error)
            if noticed:
                found = f"{name}\t{noticed[:200]}"
                break
    os.write(pipe, found.encode(errors="replace"))
    os._exit(0)


def noticed_by(fault: Fault | None) -> tuple[str, str]:
    """The first witness that notices, and what it says; '' where nobody does."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        _held(fault, writing)
    os.close(writing)
    end, data, ended = time.monotonic() + SECONDS, b"", False
    os.set_blocking(reading, False)
    while time.monotonic() < end:
        if os.waitpid(child, os.WNOHANG)[0]:
            ended = True
            break
        time.sleep(0.02)
    if not ended:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        return "time", f"more than {SECONDS} s"
    with contextlib.suppress(BlockingIOError):
        data = os.read(reading, 4096)
    os.close(reading)
    witness, _, said = data.decode(errors="replace").partition("\t")
    return witness, said


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    for library in ("sympy", "numpy", "jinja2", "yaml", "click", "mpmath", "pytest", "hypothesis"):
        importlib.import_module(library)  # once, before forking
    known = faults()
    drawn = known if not count else random.Random(seed).sample(known, min(count, len(known)))
    print(f"{len(drawn)} of {len(known)} faults, seed {seed}", flush=True)
    witness, said = noticed_by(None)
    if witness:
        sys.exit(f"without any fault, {witness} complain already: {said}")
    tally: Counter = Counter()
    by_file: dict[str, Counter] = {}
    for number, fault in enumerate(drawn, 1):
        witness, said = noticed_by(fault)
        tally[witness or ("explained" if fault.explained else "")] += 1
        by_file.setdefault(fault.file, Counter())[bool(witness)] += 1
        if not witness:
            print(f"unnoticed  {fault.file}:{fault.line}: {fault.what}  # {fault.explained or 'UNEXPLAINED'}", flush=True)
        if number % 50 == 0:
            print(f"{number}: {dict(tally)}", flush=True)
    for file, counts in sorted(by_file.items()):
        print(f"{file:<34} {counts[True]:5d} noticed {counts[False]:4d} not")
    for witness in WITNESSES:
        print(f"{tally[witness]:5d} noticed by {witness}")
    unnoticed = tally["explained"] + tally[""]
    share = 1 - unnoticed / len(drawn)
    print(f"{unnoticed:5d} by nobody, {tally['explained']} of them explained: {share:.1%} are noticed")
    sys.exit(share < 0.95 or tally[""] > 0)


if __name__ == "__main__":
    main()
