"""No way in: a spec is a stranger's data, and nothing that it says is ever run. One test for each route."""

from __future__ import annotations

import ast
import io
import json
import keyword
import shutil
import subprocess
import sys
import tokenize
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmgen.language import functions
from lstmgen.document.compose import Extras, render_document
from lstmgen.errors import SpecError
from lstmgen.spec.expand import expand
from lstmgen.derivation.build import build_graph
from lstmgen.language.names import NO_DIMENSION, RESERVED
from lstmgen.document.notation import make_notation
from lstmgen.outputs.numpy.module import module_source
from lstmgen.pipeline import build, derive, execute, load
from lstmgen.schedule.make import make_schedule
from lstmgen.spec.reader import read
from lstmgen.document.latex.pdf import compile_pdf

ROOT = Path(__file__).parent.parent

# Every place in which a spec can say something, in one cell.
CELL = """\
name: cell
title: {title}
description: {title}
references: [{title}]
group: {title}
dims: {{D: input_size, {dim}: {keyword}, K: key_size}}
inputs: {{x: D, {input}: K}}
targets: {{{target}: {dim}}}
state: {{h: {dim}, {state}: {dim}}}
constants: {{{constant}: 0.3}}
functions: {{"{function}({argument})": "{argument} * tanh({argument})"}}
parameters: {{{parameter}: [{dim}, D], R: [{dim}, {dim}], V: [{dim}, K], b: {dim}, {start}: {dim}}}
equations:
  {stage}: sigmoid({parameter} @ x + R @ h[t-1] + b)
  {state}: {stage} * {state}[t-1] + {constant} * {function}(V @ {input})
  h: layer_norm({state}) * softplus(b) / sqrt({dim}) + softmax({state})
output: [h, {state}]
initial: {{h: {start}}}
loss: sum((h - {target}) ** 2)
loss_at: last
"""
PLAIN = {
    "title": "A cell", "dim": "H", "keyword": "hidden_size", "input": "u", "target": "goal", "state": "c",
    "constant": "beta", "function": "mine", "argument": "a", "parameter": "W", "start": "h_0", "stage": "i",
}
ROLES = [role for role in PLAIN if role != "title"]


def cell(**said: str) -> str:
    return CELL.format(**PLAIN | said)


def made(text: str) -> tuple[str, str]:
    """Module and document of a spec."""
    schedule = make_schedule(derive(read(text, "cell.yaml")))
    graph = schedule.graph
    extras = Extras(listing=module_source(schedule, True, bare=True))
    document = render_document(schedule.plan, make_notation(graph), None, graph.spec.name, extras)
    return module_source(schedule, True), document


# ---------------------------------------------------------------- text

ATTACKS = {
    "python": "__import__('os').system('touch canary')",
    "ends the docstring": '"""; import os; os.system("touch canary"); """',
    "ends it after a backslash": '\\"""\\\n__import__("os").system("touch canary")\\',
    "format": "{0.__class__.__mro__} %s %(x)s {x!r:>{y}}",
    "jinja": "{{ cycler.__init__.__globals__.os.system('touch canary') }}{% set a = 1 %}{# #}",
    "our jinja": "<< lipsum.__globals__.os.popen('touch canary').read() >><% for x in y %><# #>",
    "shell": "$(touch canary) `touch canary`; touch canary | touch canary && touch canary",
    "write18": r"\immediate\write18{touch canary}",
    "openout": r"\newwrite\f\immediate\openout\f=canary \immediate\write\f{x}\immediate\closeout\f",
    "input": r"\input{/etc/passwd}\input|'touch canary'",
    "carets": r"^^5cimmediate^^5cwrite18{touch canary} ^^M ^^00",
    "directlua": r"\directlua{os.execute('touch canary')}",
    "ends the document": r"}\end{document}\catcode`\%=12 \makeatletter\@@end",
    "every sign": r"""# $ % & ~ _ ^ { } \ < > " ' ` | [ ] ( ) * + - = / : ; , . ? ! @""",
    "verbatim": r"\end{lstlisting}\verb|x|\begin{verbatim}",
    "comment": "% # // -- <!-- --> /* */",
    "html": "<script>alert(1)</script> ]]> &lt;",
    "look-alikes": "\u0430\u0435\u043e \uff21 \u212a \u2126 \u00e9 e\u0301 \u200b\u200d \u202eevil\u202c",
    "unicode escapes": r"\u0022\u0022\u0022 \N{QUOTATION MARK} \x22\x22\x22",
    "terminal": r"\x1b]0;evil\x07 \033[2J",
}


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def code_of(module: str) -> list[tuple[int, str]]:
    """The tokens of a module without its docstring and its comments."""
    body = ast.parse(module).body
    rest = "".join(module.splitlines(keepends=True)[body[0].end_lineno:])
    tokens = tokenize.generate_tokens(io.StringIO(rest).readline)
    return [(token.type, token.string) for token in tokens if token.type != tokenize.COMMENT]


@pytest.fixture(scope="module")
def plain_code() -> list[tuple[int, str]]:
    return code_of(made(cell())[0])


@pytest.mark.parametrize("attack", ATTACKS)
def test_text_stays_text_in_the_module(attack, plain_code):
    text = ATTACKS[attack]
    module, _ = made(cell(title=quoted(text)))
    assert module.isascii()
    assert code_of(module) == plain_code
    first = ast.get_docstring(ast.parse(module)).splitlines()[0]
    for word in text.replace('"', "'").split():
        if word.isascii() and word.isalnum():
            assert word in first
    assert all(line.startswith("#") for line in module.split('"""')[0].splitlines())


@pytest.mark.parametrize("escape", r"\u2028 \u2029 \x85 \v \f \r \n \0 \e \ufeff \u202e".split())
def test_no_escape_ends_a_line_of_text(escape, plain_code):
    """In quotes YAML can write any character: what ends a line somewhere is refused or told, and ends none here."""
    try:
        module, document = made(cell(title=f'"one{escape}import os{escape}\\\\input two"'))
    except SpecError:
        return
    assert code_of(module) == plain_code and module.isascii() and document.isascii()
    assert not any(line.startswith(("import os", "\\input")) for text in (module, document) for line in text.splitlines())


@pytest.mark.parametrize("attack", ATTACKS)
def test_text_stays_text_in_the_document(attack):
    """What is no letter is escaped: no control word in it that the document of a plain cell does not have."""
    _, plain = made(cell())
    _, document = made(cell(title=quoted(ATTACKS[attack])))
    assert document.isascii()
    escapes = {"textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar", "greek",
               "ogonek", "onto", "char", "textquoteleft", "textquoteright", "textquotedblleft", "textquotedblright"}
    accents = {"c", "k", "r", "u", "v", "H", "b", "d", "i", "j", "t", "o", "l", "aa", "ae", "oe", "ss", "AA", "AE"}
    words = {word for word in _control_words(document) if word.isalpha()}
    assert words - _control_words(plain) <= escapes | accents | {"Omega"}


def _control_words(document: str) -> set[str]:
    words, index = set(), 0
    while (index := document.find("\\", index)) >= 0:
        end = index + 1
        while end < len(document) and document[end].isalpha():
            end += 1
        words.add(document[index + 1:end] or document[end:end + 1])
        index = max(end, index + 2)
    return words


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex: `make tex` installs it")
def test_text_stays_text_when_tex_has_set_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = cell().replace("references: [A cell]", "references:\n" + "\n".join(
        f"  - {quoted(attack)}" for attack in ATTACKS.values()))
    _, document = made(text)
    compiled = compile_pdf(document)
    assert "runsystem" not in compiled.log and "root:" not in compiled.log
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("attack", ATTACKS)
def test_text_is_the_same_after_expand(attack):
    """What expand prints is read again, by us or by others: no text may become structure."""
    spec = load(cell(title=quoted(ATTACKS[attack])))
    again = load(expand(spec))
    assert (again.title, again.description, again.references) == (spec.title, spec.description, spec.references)
    assert again.equations and [each.name for each in again.equations] == [each.name for each in spec.equations]


# ---------------------------------------------------------------- nothing is run

WATCHED = """
import sys
sys.path[:0] = [{root!r}, {tests!r}]
from test_fence import ATTACKS, cell, made, quoted
from lstmgen.errors import SpecError
from lstmgen.pipeline import derive, load
import lstmgen.proofs.interpret
from lstmgen.document.terminal import show
from lstmgen.spec.expand import expand

def everything(text):
    try:
        made(text)
        derivation = derive(load(text))
        for record in (derivation, *derivation.contributions()):
            record._repr_latex_()
        expand(load(text))
        show.show_derivation(derivation, True, 100)
    except SpecError as error:
        str(error)

everything(cell())
events = set()
FORBIDDEN = ("exec", "os.", "subprocess", "socket", "ctypes", "pty", "shutil", "marshal", "pickle", "import", "code.")
sys.addaudithook(lambda event, arguments: events.add(event + repr(arguments)[:200])
                 if event.startswith(FORBIDDEN) or event == "open" else None)
for attack in ATTACKS.values():
    for text in (cell(title=quoted(attack)), cell(start=quoted(attack)), cell().replace("sigmoid(", attack + "("),
                 cell().replace("0.3", quoted(attack)), cell().replace("a * tanh(a)", attack.replace('"', "'")),
                 cell().replace("name: cell", "name: " + quoted(attack)),
                 cell() + "notation: {{c: " + quoted(attack) + "}}\\n", cell() + attack, attack,
                 "!!python/object/apply:os.system ['touch canary']\\n", cell(stage="&x !!python/name:os.system i"),
                 cell().replace("H: hidden_size", quoted(attack) + ": " + quoted(attack))):
        everything(text)
print("\\n".join(sorted(event for event in events if not ("open(" in event[:5] and "'r'" in event))))
"""


def test_no_attack_runs_reads_or_writes_anything(tmp_path):
    """Python itself reports every exec, import, program, file and socket while hostile specs are read and built."""
    program = WATCHED.format(root=str(ROOT), tests=str(ROOT / "tests"))
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == ""
    assert not list(tmp_path.iterdir())


def test_importing_a_module_of_a_hostile_spec_runs_nothing(tmp_path):
    text = cell(title=quoted(ATTACKS["ends the docstring"] + ATTACKS["python"] + ATTACKS["jinja"]))
    built = build(text, tmp_path, verify=False)
    run = subprocess.run([sys.executable, built.files[0].name], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0 and "correct" in run.stdout, run.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"cell.py", "cell.tex"}


# ---------------------------------------------------------------- names

NO_NAMES = [
    *keyword.kwlist, *RESERVED, "", " ", "a b", "a-b", "a.b", "a;b", "a(b", "a\nb", "1a", "_a", "__import__", "__class__",
    "../a", "/a", "a/b", "a\\b", "..", "a$", "a'", "a\\u0062", "{{a}}", "<%a%>", "x" * 41, "i_pre", "d_h", "dy_h",
    "\u0430", "\uff41", "\u1d44a", "\u212a", "\u00e9", "e\u0301", "a\u200b", "\u03b2", "\ufb01",
]


@pytest.mark.parametrize("role", ROLES)
def test_no_role_takes_what_is_no_name(role):
    for name in NO_NAMES:
        if role in ("function", "argument") and "u0062" in name:
            continue  # in quotes that is how YAML writes a b
        text = CELL.format(**{**PLAIN, role: "NAME"})
        if role not in ("function", "argument"):
            # as a key or a value of its own it is quoted; inside of equations nothing has to be
            text = text.replace("NAME: ", f"{quoted(name)}: ").replace(": NAME", f": {quoted(name)}")
        with pytest.raises(SpecError):
            build_graph(read(text.replace("NAME", name), "cell.yaml"))


NO_FILES = [name for name in NO_NAMES if name not in (*RESERVED, "i_pre", "d_h", "dy_h")]


@pytest.mark.parametrize("name", [*NO_FILES, "numpy", "os", "sys", "json"])
def test_no_file_gets_what_is_no_name(name, tmp_path):
    with pytest.raises(SpecError):
        build(cell().replace("name: cell", f"name: {quoted(name)}"), tmp_path, verify=False)
    assert not list(tmp_path.iterdir())


def own_names() -> list[str]:
    """What the module calls things itself, and what Python does: all of it may be a spec's as well."""
    tree = ast.parse(made(cell())[0])
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names |= {"print", "ValueError", "float", "tuple", "type", "match", "case", "T", "B", "h_prev", "x_t", "h_all"}
    names |= {"e", "E", "I", "S", "N", "Q", "O", "beta_", "pi", "count", "index", "y", "n", "on", "loss", "outputs"}
    names |= {*functions.PUBLIC[:6], "sigmoid", "tanh", "W_x", "R_h", "i_2", "tanh_h", "kept", "end"}
    names |= {"sum", "set", "zip", "abs", "isinstance"}
    free = {*RESERVED, *keyword.kwlist, *PLAIN.values(), "x", "h", "b", "R", "V", "D", "K", "null", "true", "key_size",
            "input_size"}
    return sorted(name for name in names - free if name[0] != "_" and not name.startswith(("d_", "dy_"))
                  and not name.endswith("_pre"))


def test_the_modules_own_names_are_free_for_a_spec():
    """Each name takes each role once; helpers of the module step aside."""
    names = own_names()
    roles = [role for role in ROLES if role not in ("function", "dim")]
    for shift in range(0, len(names), len(roles)):
        given = dict(zip(roles, names[shift:] + names[:shift]))
        for turn in range(0, len(roles), 3):
            turned = dict(zip(roles, [*given.values()][turn:] + [*given.values()][:turn]))
            works(cell(**turned))


@pytest.mark.parametrize("name", sorted({*own_names(), *NO_DIMENSION}))
def test_a_dimension_of_any_name_works_or_is_refused(name):
    text = cell(dim=name)
    if name in NO_DIMENSION:
        with pytest.raises(SpecError, match="choose another symbol"):
            read(text, "cell.yaml")
        assert works(cell(keyword=name))
    else:
        works(text)


def works(text: str) -> bool:
    module = execute(made(text)[0], "cell")
    with redirect_stdout(io.StringIO()):
        assert module._self_check() <= 1e-12, text
    return True


# ---------------------------------------------------------------- expressions

NO_EXPRESSIONS = [
    "().__class__.__base__.__subclasses__()", "x.__class__", "x['a']", "x[0]", "x[::]", "x[t-1:t]", "lambda: 0",
    "(lambda a: a)(x)", "f'{x}'", "f'{x!r:{b}}'", "'a' * 9", "b'a'", "'a' 'b'", "[a for a in x]", "{a for a in x}",
    "{a: a for a in x}", "(a for a in x)", "[x]", "(x,)", "{x}", "{}", "{**x}", "*x", "x if b else x",
    "x and b", "not x",
    "(y := x)", "await x", "(yield x)", "(yield from x)", "x == b", "x is b", "x in b", "x < b", "~x",
    "x | b", "x & b",
    "x << 1", "x >> 1", "x // b", "x % b", "x ^ b", "tanh(*x)", "tanh(**x)", "tanh(a=x)", "tanh(x for x in b)",
    "where(x, x, x)", "where(a := x < b, x, x)", "True", "None", "...", "__debug__", "1j", "0x1", "0b1", "0o1", "1_0",
    "eval(x)", "exec(x)", "open(x)", "print(x)", "getattr(x, b)", "__import__(x)", "fill(x, 3)", "Slice(x, 0, 1)",
    "Reverse_cumsum(x)", "np", "self", "tape", "params", "import os", "x; import os", "x\nimport os",
    "x = b", "x: b", "# x",
    "x \\\n + b", "x !", "$x", "`x`", "x?", "\x00x", "x\x0c", "\u2028x", "x \u2297 b", "\uff58", "x\u0301",
    "h[t-1][t-1]", "h[T-1]", "h[t-1.0]", "h[t-True]", "h[t--1]", "h[-1]", "h[(t, 1)]", "x(t)", "tanh",
    "tanh.x", "match x",
]


@pytest.mark.parametrize("text", NO_EXPRESSIONS)
def test_what_is_not_on_the_list_does_not_exist(text):
    for place in ("a * tanh(a)", "sum((h - goal) ** 2)", "sigmoid(W @ x"):
        said = cell().replace(place, text + (" + (W @ x" if place.startswith("sigmoid") else ""))
        with pytest.raises(SpecError):
            build_graph(read(said, "cell.yaml"))


def test_the_list_is_the_whole_of_pythons_expressions():
    """Each kind of node that Python's parser can make is either on the list or was refused above."""
    taken = {"BinOp", "UnaryOp", "Call", "Compare", "Name", "Constant", "Subscript"}
    tried = set()
    for text in NO_EXPRESSIONS:
        try:
            tried |= {type(node).__name__ for node in ast.walk(ast.parse(text.strip(), mode="eval"))}
        except (SyntaxError, ValueError):
            continue
    kinds = {name for name, kind in vars(ast).items() if isinstance(kind, type) and issubclass(kind, ast.expr)}
    other = {"Num", "Str", "Bytes", "NameConstant", "Ellipsis", "expr"}  # no longer made
    other |= {"TemplateStr", "Interpolation"}  # later than 3.13
    assert kinds - other - taken - tried == set()


TOKENS = st.lists(st.sampled_from(
    "x b W R h h[t-1] t H a goal tanh( sigmoid( where( sum( part( repeat( concat( mine( ) , + - * / ** @ < <= 0 1 2 "
    "0.5 1e9 "

      "[ ] [t-1] . lambda if else for in and not : := = ' \" # { } \\ \n ( ( ) ) _ __class__ 1j".split(" ")), max_size=24)


@given(TOKENS.map(" ".join))
def test_no_expression_raises_anything_but_a_spec_error(text):
    try:
        made(cell().replace("sigmoid(W @ x + R @ h[t-1] + b)", quoted(text)))
    except SpecError as error:
        assert all(char.isprintable() or char == "\n" for char in str(error))


# ---------------------------------------------------------------- sizes


def test_a_number_that_grows_beyond_the_limits_in_a_derivative_is_refused():
    """Each number is within the limits; what SymPy takes out of the sum and raises to the power is not."""
    body = " + ".join(f"{factor} * p * h[t-1]" for factor in range(1, 100))
    cell = read("name: cell\nstate: {h: H}\nparameters: {W: [H, D]}\nequations:\n"
                f"  p: W @ x\n  h: ({body}) ** 100\noutput: h\n", "cell.yaml")
    with pytest.raises(SpecError, match="the derivative of 'h' with respect to p has a number beyond") as caught:
        derive(cell)
    assert (caught.value.line, caught.value.column) == (6, 3)


BEYOND = "a constant beyond 1e[+]300, or too close to zero"
STEEP = "an exponent beyond 100"
GROWN = "the derivative of 'h' with respect to p has a number beyond"


@pytest.mark.parametrize("body, refused", [
    ("1e300 * h[t-1]", None), ("1.01e300 * h[t-1]", BEYOND), ("0 * h[t-1]", None),
    ("1e-300 * h[t-1]", None), ("0.99e-300 * h[t-1]", BEYOND),
    ("p ** (60 + 40)", None), ("p ** (60 + 41)", STEEP), ("p ** (-60 - 41)", STEEP),
    ("p ** k", STEEP), ("p ** (k - 100)", None), ("p ** (1 / (k - k))", STEEP),
    ("1e300 * p", None), ("1e300 * p ** 2", GROWN), ("1e-300 * p", None), ("1e-300 * p ** 0.5", GROWN),
])
def test_the_limits_of_numbers(body, refused):
    """Of constants, of exponents that are computed, and of what a derivative makes of both."""
    cell = read("name: cell\nstate: {h: H}\nparameters: {W: [H, D]}\nconstants: {k: 200}\nequations:\n"
                f"  p: tanh(W @ x) + k\n  h: {body} + p * h[t-1]\noutput: h\n", "cell.yaml")
    if refused:
        with pytest.raises(SpecError, match=refused):
            derive(cell)
    else:
        assert derive(cell)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited in the way of Linux")
def test_no_refusal_needs_a_gigabyte():
    program = "\n".join([
        "import resource, sys",
        "resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9))",
        "from lstmgen.errors import SpecError",
        "from lstmgen.derivation.build import build_graph",
        "from lstmgen.spec.reader import load",
        "from pathlib import Path",
        "for path in sorted(Path(sys.argv[1]).glob('*.yaml')):",
        "    try:",
        "        build_graph(load(path))",
        "    except SpecError:",
        "        continue",
        "    sys.exit(f'{path} was taken')",
    ])
    run = subprocess.run([sys.executable, "-c", program, str(ROOT / "tests" / "invalid")], cwd=ROOT, capture_output=True,
                         text=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("body", ["tanh(f73(W @ x + h[t-1]))", "f73(f0(h[t-1])) + sum(x) * sum(W @ x)"])
def test_what_is_nearly_too_deep_is_taken(body):
    """The limits are reached before Python's own: no stage of a build runs out of its stack."""
    functions_ = "".join(f"  f{n}(a): tanh(f{n - 1}(a))\n" for n in range(1, 74))
    made("name: cell\nstate: {h: H}\nparameters: {W: [H, D]}\nfunctions:\n  f0(a): tanh(a)\n" + functions_
         + f"equations:\n  h: {body}\noutput: h\n")


def test_the_loss_is_no_value_without_a_name():
    assert "" not in build_graph(load("ng_lstm_last")).shapes


# ---------------------------------------------------------------- files


def test_links_in_place_of_outputs_are_replaced_and_not_followed(tmp_path):
    target, folder = tmp_path / "precious", tmp_path / "out"
    target.write_text("mine")
    folder.mkdir()
    for name in ("cell.py", "cell.tex"):
        (folder / name).symlink_to(target)
    build(cell(), folder, verify=False, force=True)
    assert target.read_text() == "mine"
    assert all(path.is_file() and not path.is_symlink() for path in folder.iterdir())


def test_a_folder_behind_a_link_that_leads_nowhere(tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "nowhere" / "at all")
    from lstmgen.files import OutputError

    with pytest.raises(OutputError):
        build(cell(), tmp_path / "out", verify=False)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_errors_bring_no_control_characters_to_a_terminal():
    for text in ("name: \u202eevil\n", "a\u202eb: 1\n", "name: cell\nstate: {'\u009b2J': H}\n", "name: \u2066x\u2069"):
        with pytest.raises(SpecError) as caught:
            build_graph(read(text, "cell.yaml"))
        assert all(char.isprintable() or char == "\n" for char in str(caught.value))
