"""Inputs that nobody would write, at everything from the reader to the printers.

    python tests/fuzz.py [MINUTES] [SEED]

Each seed is one input: bytes, YAML, an expression, a spec, a file of claims, a layout of somebody's code or a text of LaTeX,
made from a real one by a few random edits. It has to be taken, or refused by a `SpecError`; anything else is a defect, and
so is a refusal that takes longer than ten seconds. `make fuzz` runs it for long, `tests/test_fuzz.py` for some seconds.
"""

from __future__ import annotations

import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lstmgen.auditing.claims import read as read_claims
from lstmgen.auditing.theirs.reading import read as read_layout
from lstmgen.derivation.build import build_graph
from lstmgen.errors import SpecError
from lstmgen.document.notation import make_notation
from lstmgen.latexin.audit import read_document
from lstmgen.latexin.document import read as read_latex
from lstmgen.latexin.draft import draft_of
from lstmgen.outputs.numpy.module import module_source
from lstmgen.pipeline import derive
from lstmgen.schedule.make import make_schedule
from lstmgen.spec.reader import load, read

ROOT = Path(__file__).parent.parent
KINDS = ("bytes", "lines", "tokens", "expression", "claims", "layout", "latex")
LONGEST_REFUSAL = 10.0  # seconds
PATIENCE = 120  # seconds, for an input that is taken

# What a hand, or a hostile hand, may type anywhere.
PIECES = (
    "**", "@", "[t-1]", "[t-2]", "[t+1]", "(", ")", "[", "]", "{", "}", ":", ",", "- ", "&a", "*a",
    "!!python/name:os.system", "<<", "|", ">", "#", "'", '"', "\\", "\t", "\n", "\r", "\x00", "\x1b", "\u202e",
    "\ufeff", "\u00e9", "\u03c3", "\U0001f600", "~", "null", "true", "no", "1e309", "1e-5", "-0", "0", "1", "4096",
    "4097", "1" * 50, "9" * 400, "0x10", "1_000", ".5", "1.", "nan", "inf", "x", "h", "H", "D", "t", "np", "params",
    "lambda", "import os", "__class__", "h.T", "h_prev", "W", "beta", "sum(", "where(a < b, ", "softmax(",
    "concat(", "part(z, 0, 4)", "repeat(x, 3)", "stop_gradient(", "layer_norm(", "transpose(", "outer(",
    "a if b else c", "-" * 70, "(" * 70, "{{ x }}", "{% x %}", "\\input{x}", "$", "%", "^^M", "../", "/etc",
    "state:", "equations:", "name:", "output: h", "dims: {", "loss:", "initial:", "functions:", "range:",
    "cell: lstm", "peepholes: true", "init:", "shape:", "rms_norm(x)", "l2_norm(x, 0)", "surrogate(h, x, ", "erf(", "ones(",
    "ones(H, D)", "eye(H)", "triangle(2 * H)", "constants: {k: [0, 1]}", "constants: {k: [[1], [0, 1]]}", "expm1(", "log1p(",
)

# What LaTeX is made of, whole and in pieces.
LATEX_PIECES = (
    "\\", "{", "}", "$$", "$", "&", "\\\\", "^", "_", "^{", "_{", "(", ")", "\\left(", "\\right.", "=", "+=", "+",
    "-", ",", "%", "\\frac{", "\\frac{\\partial E}{\\partial c_t}", "\\begin{bmatrix}", "\\end{bmatrix}",
    "\\begin{align}", "\\end{align}", "\\begin{cases}", "\\sum_t", "\\sum_{t=1}^T", "\\prod", "\\delta", "\\nabla",
    "\\odot", "\\mathbf{", "\\bar", "\\tanh", "\\sigma'", "^{t-1}", "_{t+1}", "^\\top", "^T", "^2", "^{-1}", "^{<t>}",
    "\\langle", "\\input{x}", "\\def\\x{\\x\\x}", "\\x", "\\newcommand{\\y}[2]{#2#1}", "\\y{a}{b}", "\\text{if }",
    "\\quad", "\\verb", "`", "```", "<!--", "-->", "next", "prev", "1e9", "9" * 50, "\x00", "\u202e", "\u03c3", "d",
    "E", "I", "T", "t", "(t)", "[", "]", ";", "/", "'", "''", "\\star", "\\rm", "~", "h_t", "c_{t-1}", "W_f",
    "{{{{{{", "}}}}",
)

FORMS = (
    "{} + {}", "{} - {}", "{} * {}", "{} / {}", "{} ** {}", "{} @ {}", "({})", "-{}", "tanh({})", "sum({})",
    "softmax({})", "max({}, {})", "where({} < {}, {}, 0)", "concat({}, {})", "outer({}, {})", "part({}, 0, 2)",
    "transpose({})", "{}({})", "{}[t-1]", "rms_norm({})", "l2_norm({}, {})", "surrogate({}, {}, {})", "erf({})", "log1p({})",
    "clip_gradient({}, {})",
    "ones({})", "eye({})", "triangle({}) @ {}",
)

# What a layout file may say of somebody's code: one of these is edited.
LAYOUTS = (
    """spec: lstm
forward: forward(params, xs, h_prev, c_prev)
gives: [hs, caches]
backward: backward(params, caches, dhs)
vectors: columns
batch: one
parameters: {Wf: "[R_f, W_f]", Wi: "[R_i, W_i]", Wc: "[R_z, W_z]", Wo: "[R_o, W_o]", bf: b_f, bi: b_i, bc: b_z, bo: b_o}
names: {h0: "h[t-1]", dout: dy, n_hidden: H}
""",
    """forward: Net(D, H).forward(x, h0)
backward: Net(D, H).backward(dy, 0.5)
batch: first
time: last
steps: each
parameters:
  Wx: "transpose([W_i; W_f; W_o; W_z])"
  weights[0]: stack(R_i, R_f)
  b: column(b_f)
  c: "[zeros(b_i); row(b_o)]"
names: {h0: "h[t-1]"}
gradients: [x, "h[t-1]", Wx, _, b]
""",
)


@dataclass(frozen=True)
class Input:
    kind: str
    text: str | bytes


@cache
def originals() -> tuple[str, ...]:
    return tuple(path.read_text(encoding="utf-8") for path in sorted((ROOT / "specs").glob("*.yaml")))


@cache
def claims() -> tuple[tuple[Path, str], ...]:
    return tuple((path, path.read_text(encoding="utf-8")) for path in sorted((ROOT / "audits").glob("*.yaml")))


@cache
def texts() -> tuple[str, ...]:
    return tuple(path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests" / "latex").iterdir()))


def make(seed: int) -> Input:
    """The input of a seed."""
    choose = random.Random(seed)
    kind = choose.choice(KINDS)
    known = {"claims": [text for _, text in claims()], "latex": texts(), "layout": LAYOUTS}
    text = choose.choice(known.get(kind, originals()))
    edits = choose.choice((1, 1, 2, 3, 8))
    if kind == "bytes":
        data = bytearray(text.encode())
        for _ in range(edits):
            data[choose.randrange(len(data))] = choose.randrange(256)
        return Input(kind, bytes(data))
    if kind == "expression":
        return Input(kind, _with_equation(text, _expression(choose, choose.randrange(6)), choose))
    pieces = LATEX_PIECES if kind == "latex" else PIECES
    for _ in range(edits):
        text = _edited_lines(text, choose) if kind == "lines" else _edited(text, choose, pieces)
    return Input(kind, text)


def _edited(text: str, choose: random.Random, pieces: tuple[str, ...] = PIECES) -> str:
    start = choose.randrange(len(text) + 1)
    end = min(len(text), start + choose.choice((0, 0, 1, 1, 3, 10)))
    return text[:start] + choose.choice((*pieces, "")) + text[end:]


def _edited_lines(text: str, choose: random.Random) -> str:
    lines = text.splitlines(keepends=True) or ["\n"]
    at, other = choose.randrange(len(lines)), choose.randrange(len(lines))
    match choose.randrange(5):
        case 0:
            del lines[at]
        case 1:
            lines.insert(other, lines[at])
        case 2:
            lines[at], lines[other] = lines[other], lines[at]
        case 3:
            foreign = choose.choice(originals()).splitlines(keepends=True)
            lines.insert(at, choose.choice(foreign))
        case _:
            lines[at] = " " * choose.randrange(4) + lines[at].lstrip()
    return "".join(lines)


def _expression(choose: random.Random, depth: int) -> str:
    if depth <= 0:
        return choose.choice(("x", "h[t-1]", "h", "c[t-1]", "W_i", "b_i", "H", "2", "0.5", "1e-3", *PIECES))
    inner = [_expression(choose, depth - 1 - choose.randrange(2)) for _ in range(3)]
    form = choose.choice(FORMS)
    return form.format(*inner)


def _with_equation(text: str, expression: str, choose: random.Random) -> str:
    """A spec with one of its equations, or values, replaced."""
    lines = text.splitlines(keepends=True)
    places = [at for at, line in enumerate(lines) if ": " in line and not line.startswith("#")]
    at = choose.choice(places)
    lines[at] = lines[at].partition(": ")[0] + ": " + expression + "\n"
    return "".join(lines)


def run(given: Input) -> str:
    """'taken' or 'refused'; raises whatever else happens."""
    try:
        if given.kind == "claims":
            read_claims(given.text, "<claims>", claims()[0][0].parent)
            return "taken"
        if given.kind == "layout":
            read_layout(given.text, _whole())
            return "taken"
        if given.kind == "latex":
            return _read_text(given.text)
        schedule = make_schedule(derive(_read(given)))
        compile(module_source(schedule, verified=False), "<module>", "exec")
        make_notation(schedule.graph)
        return "taken"
    except SpecError as error:
        if not error.mistakes:
            raise AssertionError("a refusal without a reason") from error
        return "refused"


def _read_text(text: str) -> str:
    """A text, as a derivation about a small cell and as the forward pass of one."""
    outcome = "refused"
    for path in ("<text>.tex", "<text>.md"):
        for read_as in (_as_derivation, _as_forward):
            try:
                read_as(text, path)
                outcome = "taken"
            except SpecError as error:
                if not error.mistakes:
                    raise AssertionError("a refusal without a reason") from error
    return outcome


def _as_derivation(text: str, path: str) -> None:
    read_document(read_latex(text, path), _small(), None, {}, True, 3)


def _as_forward(text: str, path: str) -> None:
    draft_of("made", read_latex(text, path), True)


@cache
def _small():
    return build_graph(load(ROOT / "specs" / "lstm_no_bias.yaml"))


@cache
def _whole():
    return build_graph(load(ROOT / "specs" / "lstm.yaml"))


def _read(given: Input):
    if isinstance(given.text, str):
        return read(given.text, "<spec>")
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:  # bytes that are no text come in a file
        file.write(given.text)
        file.flush()
        return load(Path(file.name))


def main() -> int:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    seed = first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    signal.signal(signal.SIGALRM, _too_long)
    end, tally, slowest, defects = time.monotonic() + 60 * minutes, Counter(), (0.0, 0), 0
    while time.monotonic() < end:
        given, start = make(seed), time.monotonic()
        signal.alarm(PATIENCE)
        try:
            outcome = run(given)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                break
            outcome = "defect"
            print(f"seed {seed} ({given.kind}): {traceback.format_exc(limit=-3)}", flush=True)
        signal.alarm(0)
        took = time.monotonic() - start
        if outcome == "refused":
            slowest = max(slowest, (took, seed))
            if took > LONGEST_REFUSAL:
                outcome = "defect"
                print(f"seed {seed} ({given.kind}): refused after {took:.1f} s", flush=True)
        defects += outcome == "defect"
        tally[given.kind, outcome] += 1
        seed += 1
    for kind in KINDS:
        print(f"{kind:<12}" + "".join(f"{tally[kind, outcome]:>9} {outcome}" for outcome in ("taken", "refused", "defect")))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{seed - first} inputs; the slowest refusal took {slowest[0]:.2f} s (seed {slowest[1]}); {peak:.0f} MiB at most")
    return int(defects > 0)


def _too_long(*_):
    raise TimeoutError(f"more than {PATIENCE} s")


if __name__ == "__main__":
    sys.exit(main())
