"""A text of LaTeX, Markdown or a notebook, held against a cell: its equations as claims, and what is said of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os.path import isfile
from pathlib import Path

from ..auditing.claims import USUAL_STEPS, Claim, Claims
from ..auditing import report
from ..auditing.judge import Judge
from ..auditing.judgement import NOT_READ, OTHER, WRONG, Audit, Finding, Judgement
from ..auditing.spelling import Spelling
from ..derivation.build import build_graph
from ..derivation.graph import Graph
from ..errors import Mistake, Mistakes, Place, SpecError
from ..language.expressions import number
from ..language.names import did_you_mean
from ..printed import Printed, counted, shortened
from ..resources import find_spec
from ..spec import yamltext
from ..spec.reader import load as load_spec
from ..spec.yamltext import Mapping as YamlMapping
from ..spec.yamltext import Scalar
from .document import Document
from .document import load as load_document
from .faults import NotRead
from .lines import Line, columns, equations
from .names import NOTATIONS, PLAIN, Names, _named
from .parser import Parser
from .reading import Equation, Judged, Pass, read_all
from .symbols import habits, read_symbol, symbols_of
from .tokens import tokens


@dataclass(frozen=True, repr=False)
class TextAudit(Printed):
    """Every equation of a text with its judgement."""

    document: Document
    notation: str
    chosen: bool  # somebody asked for this notation
    audit: Audit
    told: tuple[str, ...]  # how the text was read

    @property
    def holds(self) -> bool:
        """Whether no equation is wrong or incomplete; some may not have been read."""
        return self.audit.holds

    @property
    def judgements(self) -> tuple[Judgement, ...]:
        """One for each equation, in the order of the text."""
        return self.audit.judgements

    def lines(self) -> list[str]:
        return [*self.told, "", *self.audit.lines()]

    def styled(self) -> str:
        return "\n".join(self.lines())

    def __repr__(self) -> str:
        equations = counted(len(self.judgements), "equation")
        return shortened(f"<TextAudit of {Path(self.document.path).name}: {equations}, {self.audit.count(WRONG)} wrong>")

    def as_json(self) -> dict[str, object]:
        """For machines: the audit, and how the text was read."""
        return report.as_json(self.audit) | {"notation": self.notation or None, "read": list(self.told)}

    def as_claims(self) -> str:
        """The equations as a file of claims."""
        spec = Path(self.audit.claims.spec)
        named = spec.stem if find_spec(spec.stem) == spec else str(spec)
        lines = [f"# {Path(self.document.path).name}, as it was read", f"spec: {named}", "claims:"]
        for judgement in self.audit.judgements:
            claim = judgement.claim
            if claim.mistakes:
                reason = judgement.findings[0].sentence
                lines.append(f"  # {claim.where}: not read: {' '.join(reason.split())}")
                continue
            note = f", note: {_quoted(f'{claim.where}; {claim.note}' if claim.note else claim.where)}"
            lines.append(f"  - {_quoted(claim.name)}: {{is: {_quoted(claim.text)}{note}}}")
        return "\n".join([*(line.replace("\n", " ") for line in lines), ""])


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@dataclass(frozen=True)
class TextRead:
    """A text with its equations in the language of claims."""

    document: Document
    spec: Path
    graph: Graph
    reading: Pass
    chosen: bool  # somebody asked for the notation
    steps: int


def audit_text(
    path: str | Path, spec: str | Path | None = None, notation: str | None = None,
    names: str | Path | Mapping[str, str] | None = None, inline: bool = False, steps: int | None = None,
) -> TextAudit:
    """Audit a file. What is not given, its first comment says. Raises `SpecError` if nothing of it can be read."""
    return judge_text(read_text(path, spec, notation, names, inline, steps))


def read_text(
    path: str | Path, spec: str | Path | None = None, notation: str | None = None,
    names: str | Path | Mapping[str, str] | None = None, inline: bool = False, steps: int | None = None,
) -> TextRead:
    """Read a file, and judge nothing."""
    return read_written(load_document(path), spec, notation, names, inline, steps, Path(path).parent)


def read_written(
    document: Document, spec: str | Path | Graph | None = None, notation: str | None = None,
    names: str | Path | Mapping[str, str] | None = None, inline: bool = False, steps: int | None = None,
    folder: Path = Path(),
) -> TextRead:
    """The same for a text. Files that its first comment names are relative to `folder`."""
    header = document.header
    steps = steps or header.steps or USUAL_STEPS
    if isinstance(spec, Graph):
        found, graph = Path(spec.spec.name), spec
    else:
        found = Path(spec) if spec is not None else _spec_of(document, folder)
        graph = build_graph(load_spec(found))
    given = _names_of(document, graph, names, folder)
    asked = notation or header.notation
    if asked is not None and asked not in NOTATIONS:
        near = did_you_mean(asked, NOTATIONS[1:]) or f"there are {', '.join(NOTATIONS[1:])}"
        raise document.mistakes().fatal(Place(1, 1), f"there is no notation '{asked}'", near)
    reading = read_document(document, graph, asked, given, inline, steps)
    return TextRead(document, found, graph, reading, asked is not None, steps)


def read_document(
    document: Document, graph: Graph, notation: str | None, given: Mapping[str, str], inline: bool, steps: int
) -> Pass:
    """The equations of a document, in the notation in which most of them hold."""
    lines = text_lines(document, inline)
    sides = [side for line in lines if isinstance(line, Line) for side in line.sides]
    if not sides:
        raise _nothing(document, lines)
    usual, judged = habits(sides), Judged(graph, steps)
    own = graph.spec.notation if isinstance(graph.spec.notation, str) else PLAIN
    candidates = [notation] if notation is not None else list(dict.fromkeys((PLAIN, own, *NOTATIONS)))
    best: Pass | None = None
    seen: set[tuple[str | None, ...]] = set()
    symbols = symbols_of(sides, usual.clock)
    present = {symbol.key for symbol in symbols}
    for candidate in candidates:
        chosen = candidate == notation or not candidate or candidate == own
        known = Names(graph, candidate, given, usual.clock, chosen, present)
        meanings = tuple(found.name if (found := known.find(symbol)) else None for symbol in symbols)
        if meanings in seen:
            continue  # this notation reads the text as another one does
        seen.add(meanings)
        for turned in (False, True):
            if turned and (best is None or not best.has_misfits):
                continue
            if turned:
                known = Names(graph, candidate, given, usual.clock, chosen, present)
            run = read_all(lines, known, judged, usual, turned)
            if best is None or run.score > best.score:
                best = run
    assert best is not None
    return best


def text_lines(document: Document, inline: bool) -> list[Line | NotRead]:
    """The equations of a document, in its order, and what is not read of it."""
    found: list[Line | NotRead] = list(document.unread)
    for formula in document.formulas:
        for line in equations(document, formula) if formula.displayed or inline else ():
            if isinstance(line, NotRead):
                if formula.displayed and _says_something(line):
                    found.append(line)
            else:
                found += columns(line)
    return sorted(found, key=lambda line: line.at)


def _says_something(fault: NotRead) -> bool:
    """A displayed expression without `=` claims nothing."""
    return fault.reason != "this is no equation"


def _nothing(document: Document, lines: list[Line | NotRead]) -> SpecError:
    mistakes = document.mistakes()
    for fault in lines[:20]:
        if isinstance(fault, NotRead):
            mistakes.add(document.place(fault.at), f"not read: {fault.reason}", fault.cure or None)
    if not mistakes.count:
        mistakes.add(Place(1, 1), "there is no displayed equation",
                     "displayed are $$...$$, \\[...\\], equation, align and the like; --inline reads $...$, too")
    return mistakes.error()


# ---------------------------------------------------------------- what a file says of itself


def _spec_of(document: Document, folder: Path) -> Path:
    said = document.header.spec
    if said is None:
        raise document.mistakes().fatal(
            Place(1, 1), "which cell is it about?", "say it: --spec SPEC, or 'spec: SPEC' in the first comment")
    for name in (said, f"{said}.yaml"):
        if isfile(folder / name):
            return folder / name
    packaged = find_spec(Path(said).name) if "/" not in said else None
    if packaged is None:
        raise document.mistakes().fatal(
            Place(1, 1), f"there is no file '{said}', which the first comment names, and no packaged spec of that name",
            "the path is relative to this file")
    return packaged


def _names_of(
    document: Document, graph: Graph, given: str | Path | Mapping[str, str] | None, folder: Path
) -> dict[str, str]:
    """Keys of symbols, and what they mean: as they are given, from a file, or from the first comment."""
    said = document.header.names
    if given is None and said is None:
        return {}
    if isinstance(given, Mapping):
        source, name = "\n".join(f"{_quoted(latex)}: {_quoted(ours)}" for latex, ours in given.items()), "<names>"
    elif given is None and said is not None and said.startswith("{"):
        source, name = said, document.path
    else:
        file = Path(given) if given is not None else folder / str(said)
        source, name = yamltext.read_file(file), str(file)
    mistakes = Mistakes(name, source)
    root = yamltext.parse(source, name)
    if isinstance(root, YamlMapping) and len(root.items) == 1 and root.items[0][0].value == "names":
        root = root.items[0][1]
    if not isinstance(root, YamlMapping):
        raise mistakes.fatal(Place(1, 1), "names are a mapping of LaTeX to names of the spec", r"'\Gamma_f': f")
    found: dict[str, str] = {}
    known = _named(graph)
    for latex, ours in root.items:
        value = ours.value if isinstance(ours, Scalar) else ""
        bare = value.removeprefix("d_").removesuffix("_pre")
        symbol = _symbol_in(latex.value)
        if symbol is None:
            cure = r"a letter with accents and scripts: '\bar{z}', 'W_{xi}'"
            mistakes.add(latex.place, f"'{latex.value}' is not one symbol", cure)
        elif bare not in known:
            mistakes.add(ours.place, f"the spec has no '{value}'", did_you_mean(bare, known) or "the LaTeX comes first")
        else:
            found[symbol] = value
    mistakes.stop()
    return found


def _symbol_in(latex: str) -> str | None:
    """The key of one symbol; a step in it does not matter."""
    try:
        row = Parser(tokens(latex, 0, len(latex), {}), 0).row()
        symbol = read_symbol(row[0], "t") if len(row) == 1 else None
    except NotRead:
        return None
    return symbol.key if symbol is not None else None


# ---------------------------------------------------------------- judgements


def judge_text(read: TextRead) -> TextAudit:
    """The verdict on each equation of a text."""
    document, graph, reading = read.document, read.graph, read.reading
    judge = Judge(graph, Spelling(graph), read.steps, reading.judged.scenes.derivation)
    judgements = [_judgement(document, equation, reading, judge) for equation in reading.equations if not equation.defines]
    said = tuple(each.claim for each in judgements)
    claims = Claims(document.path, str(read.spec), Path(document.path).name, graph, (), read.steps, said)
    return TextAudit(document, reading.names.notation, read.chosen, Audit(claims, tuple(judgements)),
                     tuple(_told(document, graph, reading, read.chosen)))


def _judgement(document: Document, equation: Equation, reading: Pass, judge: Judge) -> Judgement:
    place, where = document.place(equation.at), document.where(equation.at)
    if equation.fault is not None:
        fault = equation.fault
        shown = _shown(document, equation.at)
        if fault.at and document.where(fault.at) != where:
            where = document.where(fault.at)
        mistake = Mistake(document.place(fault.at) if fault.at else place, fault.reason, fault.cure or None)
        claim = Claim(shown, place, number(0), "", number(0), where=where, mistakes=(mistake,))
        return Judgement(claim, NOT_READ, findings=(Finding(OTHER, fault.told()),))
    said = equation.best()
    spelled = judge.spelling
    claim = Claim(spelled(said.subject), place, said.subject, spelled(said.said), said.said, note=said.told(), where=where)
    return judge.judge(claim)


def _shown(document: Document, at: int) -> str:
    """The beginning of an equation, as it is written."""
    text = " ".join(document.text[at : at + 300].split("\n\n")[0].replace("&", " ").split())
    return text if len(text) <= 40 else f"{text[:37]}..."


def _told(document: Document, graph: Graph, reading: Pass, chosen: bool) -> list[str]:
    """How the text was read, in sentences."""
    notation = reading.names.notation
    count = counted(len(reading.equations), "equation")
    how = f"in the notation '{notation}'" if notation else "in the spec's own names and those that are usual"
    found = "" if chosen or not notation else ", in which most of them hold"
    lines = [f"{document.path}: {count}, read for the cell {graph.spec.name} {how}{found}"]
    if reading.turned:
        lines.append("vectors are rows here: their matrices are ours transposed, x W for W x")
    for theirs, ours in reading.aliases.items():
        lines.append(f"'{theirs}' is {ours}: its equation is the same")
    for equation in reading.equations:
        if equation.defines:
            lines.append(f"{document.where(equation.at)}: defines {equation.defines}")
    return lines


