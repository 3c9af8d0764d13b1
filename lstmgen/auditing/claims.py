"""A file of claims -> `Claims`: what somebody says that the gradients of a cell are, in our names.

Claims are written in the language of specs, and may also use:

* `d_NAME`, `dy_NAME`, `NAME_pre` and any of them, or a value, at another step: `[t+1]`, `[t-1]`, or at
  a step by its number, `[1]`, `[T]`, `[T-1]`;
* `sum_t(e)` or `sum_t(e, 1, T-1)`: the sum over the steps;
* `via(d_c, f[t+1])`: the contribution to an adjoint through one reader; `via(d_c, t+1)`: through all readers in the next
  step;
* `partial(c[t+1], c)`: the local derivative, with the other arguments of that equation held constant;
  `total(c[t+1], c)`: the derivative along all paths;
* `diag(v)`, `slice(v, D, D + H)`: the entries from one size to another, and `A @ B` of two matrices.

Only names are checked here; `case.py` checks shapes, and compares with the truth. A claim that cannot be read says why, and
the others are judged; what is wrong with the file itself is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os.path import isfile
from pathlib import Path

from ..derivation.build import build_graph
from ..derivation.graph import Graph
from ..errors import Mistake, Mistakes, Place, SpecError
from ..language.expressions import Adjoint, Call, Expression, Outside, Value, number
from ..language.names import IDENTIFIER, did_you_mean
from ..printed import counted, shortened
from ..resources import find_spec
from ..spec import yamltext
from ..spec.fields import Fields
from ..spec.reader import load as load_spec
from ..spec.yamltext import Mapping, Node, Scalar, Sequence
from .forms import PARTIAL, STEP, TOTAL, VIA, known_names
from .resolver import Resolver

FEWEST_STEPS, MOST_STEPS, USUAL_STEPS = 2, 8, 4
VERDICTS = ("holds", "holds given", "incomplete", "wrong", "not read")
_KEYS = ("spec", "source", "names", "steps", "claims")


@dataclass(frozen=True, repr=False)
class Claim:
    """One equation of a hand-written derivation."""

    name: str  # the left side as it is written
    place: Place
    subject: Expression  # the left side, in the spec's names
    text: str  # the right side as it is written
    said: Expression  # the right side, in the spec's names
    expect: str | None = None  # the expected verdict, if the file has one
    note: str = ""
    where: str = ""  # the line of a text that the claim was read from
    mistakes: tuple[Mistake, ...] = ()  # why it cannot be read; then both sides are 0

    def __repr__(self) -> str:
        return shortened(f"<Claim {self.name}: {self.text}>")


@dataclass(frozen=True, repr=False)
class Claims:
    """A file of claims."""

    path: str
    spec: str  # the spec's path
    source: str  # where the derivation stands
    graph: Graph
    names: tuple[tuple[str, str], ...]  # (the source's name, ours)
    steps: int  # T
    claims: tuple[Claim, ...]

    def __repr__(self) -> str:
        return shortened(f"<Claims about {self.graph.spec.name}: {counted(len(self.claims), 'claim')}>")


def load(path: str | Path) -> Claims:
    """Read a file. Raises a `SpecError` with every mistake of the file itself and its place."""
    path = Path(path)
    text = yamltext.read_file(path)
    return read(text, str(path), path.parent)


def read(text: str, path: str = "<claims>", folder: Path | None = None) -> Claims:
    """Read a text. `spec:` in it is relative to `folder`, or the name of a packaged spec."""
    return _Reader(text, path, folder or Path()).read()


class _Reader:
    def __init__(self, text: str, path: str, folder: Path):
        self.text, self.path, self.folder = text, path, folder
        self.mistakes = Mistakes(path, text)
        self.fields = Fields(self.mistakes)

    def read(self) -> Claims:
        root = yamltext.parse(self.text, self.path)
        file = self.fields.mapping(root, "a file of claims", "'spec: lstm.yaml' and then 'claims:'")
        if file is None:
            raise self.mistakes.error()
        if "claims" not in file and any(key in file for key in ("name", "cell", "equations")):
            raise self.mistakes.fatal(file.place, "this is a spec, not a file of claims",
                                      "--module FILE.py:FUNCTION or --arrays FILE.npz compare code or numbers with a cell")
        self.fields.known_keys(file, _KEYS, "a file of claims")
        for key in ("spec", "claims"):
            if key not in file:
                cure = f"a file of claims has {', '.join(_KEYS)}"
                self.mistakes.add(file.place, f"'{key}:' is missing", cure)
        self.mistakes.stop()
        spec = self._spec(file["spec"])
        self.graph = build_graph(load_spec(spec))
        self.steps = self._steps(file.get("steps"))
        self.renamed = self._names(file.get("names"))
        self.resolver = Resolver(self.graph, self.renamed, self.steps, self.mistakes)
        self.mistakes.stop()
        source = file.get("source")
        claims = tuple(self._claims(file["claims"]))
        said = self.fields.prose(source, "source", 2000) if source is not None else ""
        self.mistakes.stop()
        names = tuple(self.renamed.items())
        return Claims(self.path, str(spec), said or "", self.graph, names, self.steps, claims)

    def _spec(self, node: Node) -> Path:
        """The spec's file: beside the claims, or one that comes with lstmgen."""
        if not isinstance(node, Scalar) or node.kind != "text":
            self.fields.unexpected(node, "spec", "a file's path or the name of a packaged spec")
            raise self.mistakes.error()
        beside = self.folder / node.value
        if isfile(beside):  # of a name that no file can have, Path.is_file raises
            return beside
        packaged = find_spec(Path(node.value).name) if "/" not in node.value else None
        if packaged is None:
            message = f"there is no file '{node.value}' and no packaged spec of that name"
            raise self.mistakes.fatal(node.place, message, "the path is relative to this file")
        return packaged

    def _steps(self, node: Node | None) -> int:
        if node is None:
            return USUAL_STEPS
        value = self.fields.number(node, "steps")
        if value is not None and value.denominator == 1 and FEWEST_STEPS <= value <= MOST_STEPS:
            return int(value)
        if value is not None:
            self.mistakes.add(node.place, f"steps is a whole number from {FEWEST_STEPS} to {MOST_STEPS}")
        return USUAL_STEPS

    def _names(self, node: Node | None) -> dict[str, str]:
        if node is None:
            return {}
        mapping = self.fields.mapping(node, "names", "{a: h, Gamma_f: f}")
        found: dict[str, str] = {}
        known = known_names(self.graph)
        for key, value in mapping.items if mapping else ():
            ours = self.fields.mention(value, f"the meaning of '{key.value}'")
            kept = key.value.startswith(("d_", "dy_")) or key.value in (STEP, "T")
            if kept or not IDENTIFIER.match(key.value):
                self.mistakes.add(
                    key.place,
                    f"'{key.value}' cannot be a name in a claim",
                    "names are ASCII letters, digits and _, and d_ is put before them",
                )
            elif ours is not None and ours.name.removesuffix("_pre") not in known:
                cure = did_you_mean(ours.name, known) or "the source's name comes first"
                self.mistakes.add(ours.place, f"the spec has no '{ours.name}'", cure)
            elif ours is not None:
                found[key.value] = ours.name
        return found

    # ------------------------------------------------------------------ claims

    def _claims(self, node: Node) -> Iterator[Claim]:
        pairs: list[tuple[Scalar, Node, bool]] = []
        parts = node.items if isinstance(node, Sequence) else (node,)
        for part in parts:
            mapping = self.fields.mapping(part, "claims", "'d_o: d_h * tanh(c)'")
            if mapping is not None:
                pairs += [(key, value, mapping.flow) for key, value in mapping.items]
        if not pairs and not isinstance(node, Scalar):
            self.mistakes.add(node.place, "there is no claim", "write one, such as 'd_o: d_h * tanh(c)'")
        for key, value, flow in pairs:
            claim = self._claim(key, value, flow)
            if claim is not None:
                yield claim

    def _claim(self, key: Scalar, node: Node, flow: bool) -> Claim | None:
        """One claim. None if its form is wrong, which is a mistake of the file."""
        expect, note, right = None, "", node
        if isinstance(node, Mapping):
            self.fields.known_keys(node, ("is", "expect", "note"), "a claim")
            if "is" not in node:
                self.mistakes.add(node.place, "a claim of this form needs 'is:'", "is: EXPRESSION")
                return None
            if "expect" in node:
                expect = self.fields.choice(node["expect"], "expect", VERDICTS)
            if "note" in node:
                note = self.fields.prose(node["note"], "note", 2000) or ""
            right = node["is"]
        if flow and isinstance(right, Scalar) and right.value.count("(") > right.value.count(")"):
            cure = "put the whole value in quotes: in braces a comma ends it"
            self.mistakes.add(right.place, f"'{key.value}' ends before its bracket is closed", cure)
            return None
        written = " ".join(right.value.split()) if isinstance(right, Scalar) else ""
        mistakes = Mistakes(self.path, self.text)
        try:
            text = Fields(mistakes).expression(right, f"the claim about '{key.value}'")
            resolver = self.resolver.noting_in(mistakes)
            subject = _subject(key, resolver, mistakes)
            said = resolver.read(text) if text is not None else None
            mistakes.stop()
        except SpecError as error:
            return Claim(key.value, key.place, number(0), written, number(0), expect, note, mistakes=error.mistakes)
        assert text is not None and subject is not None and said is not None
        return Claim(key.value, key.place, subject, text.value, said, expect, note)


def _subject(key: Scalar, resolver: Resolver, mistakes: Mistakes) -> Expression | None:
    """The left side of a claim; None if it has a mistake, which is recorded."""
    subject = resolver.read(key.text())
    if subject is not None and not _is_subject(subject):
        cure = (
            "the left side is a gradient (d_c, sum_t(d_W), via(d_c, h)), a derivative "
            "(partial(c[t+1], c)) or a value"
        )
        mistakes.add(key.place, f"'{key.value}' cannot be claimed", cure)
    return subject


def _is_subject(expression: Expression) -> bool:
    match expression:
        case Value() | Adjoint() | Outside():
            return True
        case Call(function="sum_t", arguments=(Adjoint() | Call(function="via"),)):
            return True
        case Call(function=function):
            return function in (VIA, PARTIAL, TOTAL)
    return False
