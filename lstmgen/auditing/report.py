"""An audit told to others than a terminal: as JSON, and as a LaTeX report with what is wrong struck out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from ..document.latex.escape import TEXT_COMMANDS, escape
from ..document.latex.printer import APPLIED, JUXTAPOSED, Printer
from ..document.notation import Notation, make_notation
from ..document.symbols import read_name
from ..errors import Mistakes, Place, Text
from ..language.expressions import Call, Expression, Sum, Value
from ..language.shapes import SCALAR
from .forms import PARTIAL, STEP, is_number, step_of
from .claims import VERDICTS, Claims
from .judgement import GIVEN, HOLDS, INCOMPLETE, NOT_READ, WRONG, Audit, Example, Finding, Judgement
from .resolver import Resolver

# ---------------------------------------------------------------- JSON


def as_json(audit: Audit) -> dict[str, object]:
    """For machines."""
    return {
        "spec": audit.claims.spec,
        "source": audit.claims.source,
        "steps": audit.claims.steps,
        "holds": audit.holds,
        "counts": {verdict: audit.count(verdict) for verdict in VERDICTS},
        "claims": [judgement_json(judgement) for judgement in audit.judgements],
    }


def judgement_json(judgement: Judgement) -> dict[str, object]:
    claim = judgement.claim
    example = None
    if judgement.example is not None:
        example = asdict(judgement.example) | {"values": dict(judgement.example.values)}
    return {
        "name": claim.name,
        "line": claim.place.line,
        "column": claim.place.column,
        "where": claim.where or None,
        "mistakes": [{"line": each.place.line, "column": each.place.column, "message": each.message, "cure": each.cure}
                     for each in claim.mistakes],
        "claim": claim.text,
        "verdict": judgement.verdict,
        "given": judgement.given or None,
        "findings": [asdict(finding) for finding in judgement.findings],
        "wrong_terms": list(judgement.off_terms),
        "correct": judgement.correct or None,
        "example": example,
        "expected": claim.expect,
        "note": claim.note or None,
    }


# ---------------------------------------------------------------- LaTeX


@dataclass(frozen=True)
class _ClaimPrinter(Printer):
    """Prints what claims can say and equations cannot as well."""

    claims: Claims | None = None  # what they are about

    def sentence(self, finding: Finding) -> str:
        """A sentence with its formulas in symbols."""
        pieces = (finding.marked or finding.sentence).split("`")
        return "".join(self.typed(piece) if at % 2 else escape(piece) for at, piece in enumerate(pieces))

    def typed(self, text: str) -> str:
        """A formula as it is typed in a claim, within a line."""
        assert self.claims is not None
        mistakes = Mistakes("", text)
        resolver = Resolver(self.claims.graph, dict(self.claims.names), self.claims.steps, mistakes)
        expression = resolver.read(Text(text, Place(1, 1)))
        return rf"\texttt{{{escape(text)}}}" if expression is None else f"${_formula(expression, text, self)}$"

    def step(self, lag: int) -> str:
        return str(step_of(lag, 0)) if is_number(lag) else super().step(lag)

    def _call(self, call: Call, depth: int) -> tuple[str, int]:
        match call:
            case Call(function="sum_t", arguments=(summed,)):
                return rf"\sum_{{t}}\bigl({self(summed)}\bigr)", JUXTAPOSED
            case Call(function="sum_t", arguments=(summed, low, high)):
                return rf"\sum_{{t={self(low)}}}^{{{self(high)}}}\bigl({self(summed)}\bigr)", JUXTAPOSED
            case Call(function="via", arguments=(target, Value() as reader)):
                return rf"\bigl.{self(target)}\bigr|_{{\text{{via }}{self._through(reader)}}}", APPLIED
            case Call(function="partial" | "total", arguments=(above, below)):
                sign = r"\partial " if call.function == PARTIAL else r"\mathrm d "
                return rf"\frac{{{sign}{self(above)}}}{{{sign}{self(below)}}}", APPLIED
            case Call(function="diag", arguments=(vector,)):
                return rf"\operatorname{{diag}}({self(vector)})", APPLIED
        return super()._call(call, depth)

    def _through(self, reader: Value) -> str:
        return self.step(reader.lag) if reader.name == STEP else self(reader)


_HEAD = r"""\documentclass[11pt,a4paper]{scrartcl}
\pdftrailerid{}\pdfsuppressptexinfo=-1
\usepackage[a4paper,margin=27mm]{geometry}
\usepackage{amsmath,amssymb,mathtools,bm,xcolor,graphicx}
\definecolor{good}{HTML}{2F6B2F}
\definecolor{bad}{HTML}{B3261E}
\definecolor{aside}{HTML}{5A6478}
\newcommand{\texorpdfstring}[2]{#1} % no bookmarks here
""" + TEXT_COMMANDS + r"""
\newsavebox{\linebox}
% a formula, made smaller where it is wider than the page; \struck with a line through it
\newcommand{\fitted}[1]{\sbox{\linebox}{$\displaystyle #1$}%
  \ifdim\wd\linebox>\linewidth\resizebox{\linewidth}{!}{\usebox{\linebox}}\else\usebox{\linebox}\fi}
\newcommand{\struck}[1]{\sbox{\linebox}{\fitted{#1}}%
  \rlap{\textcolor{bad}{\rule[.55ex]{\wd\linebox}{.7pt}}}\usebox{\linebox}}
\newsavebox{\termbox}
\newcommand{\struckterm}[1]{\sbox{\termbox}{$\displaystyle #1$}%
  \rlap{\textcolor{bad}{\rule[.55ex]{\wd\termbox}{.7pt}}}\usebox{\termbox}}
\newcommand{\claim}[2]{%
  \par\addvspace{1.1\baselineskip}\noindent{\bfseries\ttfamily #1}\quad #2\par\nopagebreak}
\newcommand{\say}[1]{\par\noindent\hspace*{1.2em}\parbox{\dimexpr\linewidth-1.2em}{\small\strut #1\strut}\par}
\newcommand{\equationline}[1]{\par\nopagebreak\medskip\noindent #1\par\medskip}
\setlength{\parindent}{0pt}
\begin{document}
"""


def latex(audit: Audit) -> str:
    """A report that compiles by itself."""
    claims = audit.claims
    parts = [
        _HEAD,
        rf"\section*{{Audit of a derivation: {escape(claims.graph.spec.title or claims.graph.spec.name)}}}",
    ]
    if claims.source:
        parts.append(rf"{escape(claims.source)}\par")
    parts.append(_legend(claims.names))
    printer = _printer(audit)
    parts.append(rf"\par\medskip\textbf{{{escape(audit.tally())}}}\par")
    for judgement in audit.by_verdict():
        parts += _told(judgement, printer)
    parts.append("\\end{document}\n")
    return "\n".join(parts)


def _legend(names: tuple[tuple[str, str], ...]) -> str:
    if not names:
        return ""
    pairs = ", ".join(rf"\texttt{{{escape(theirs)}}} for \texttt{{{escape(ours)}}}" for theirs, ours in names)
    return rf"{{\small\color{{aside}} The source's names for those of the spec: {pairs}.\par}}"


def _printer(audit: Audit) -> _ClaimPrinter:
    """The spec's symbols, with the source's names in place of ours."""
    graph = audit.claims.graph
    notation: Notation = make_notation(graph)
    symbols = dict(notation.symbols)
    for theirs, ours in reversed(audit.claims.names):
        if ours in symbols:
            symbols[ours] = read_name(theirs)
        pre = f"{ours}_pre"
        if pre in symbols and notation.symbols[pre].accents:
            symbols[pre] = replace(
                symbols[ours], accents=(*symbols[ours].accents, notation.symbols[pre].accents[-1])
            )
    wide = replace(graph, shapes={**graph.shapes, STEP: SCALAR})
    return _ClaimPrinter(replace(notation, graph=wide, symbols=symbols), claims=audit.claims)


def _told(judgement: Judgement, printer: _ClaimPrinter) -> list[str]:
    claim = judgement.claim
    colour = {WRONG: "bad", INCOMPLETE: "bad", NOT_READ: "aside"}.get(judgement.verdict, "good")
    verdict = judgement.verdict + (f" {judgement.given}" if judgement.verdict == GIVEN else "")
    parts = [rf"\claim{{{escape(claim.name)}}}{{\textcolor{{{colour}}}{{{escape(verdict)}}}}}"]
    if claim.mistakes:
        typed = f"{claim.name} = {claim.text}" if claim.text else claim.name
        parts.append(rf"\say{{\texttt{{{escape(typed)}}}}}")
        return parts + [rf"\say{{{escape(finding.sentence)}.}}" for finding in judgement.findings]
    left = _formula(claim.subject, claim.name, printer)
    written = f"{left}={_formula(claim.said, claim.text, printer)}"
    if judgement.off and isinstance(claim.said, Sum):
        marked = "".join(_term(term, position, judgement, printer) for position, term in enumerate(claim.said.terms))
        parts.append(rf"\equationline{{\fitted{{{left}={marked}}}}}")
    elif judgement.verdict == WRONG:
        parts.append(rf"\equationline{{\struck{{{written}}}}}")
    else:
        parts.append(rf"\equationline{{\fitted{{{written}}}}}")
    if judgement.correct_expression is not None and judgement.verdict != HOLDS:
        right = _formula(judgement.correct_expression, judgement.correct, printer)
        parts.append(
            rf"\equationline{{\fitted{{\textcolor{{good}}{{{_left(judgement, left, printer)}={right}}}}}}}"
        )
    parts += [rf"\say{{{printer.sentence(finding)}.}}" for finding in judgement.findings]
    if judgement.verdict == INCOMPLETE and judgement.given:
        parts.append(rf"\say{{As it is: {escape(judgement.given)}.}}")
    if judgement.example is not None:
        parts.append(rf"\say{{\color{{aside}}{_example(judgement.example, printer)}}}")
    if claim.note:
        parts.append(rf"\say{{\itshape {escape(claim.note)}}}")
    return parts


def _example(example: Example, printer: _ClaimPrinter) -> str:
    """Both values, and what they were computed from, in symbols."""
    values = ", ".join(f"{printer.typed(name)} = {value:.5g}" for name, value in example.values)
    return (f"with {values}: " if values else "") + escape(replace(example, values=()).told())


def _term(term: Expression, position: int, judgement: Judgement, printer: _ClaimPrinter) -> str:
    """One term of a sum, struck out where it is wrong."""
    formula = _formula(term, str(term), printer)
    sign = "" if position == 0 or formula.startswith("-") else "+"
    return rf"{sign}\struckterm{{{formula}}}" if term in judgement.off else f"{sign}{formula}"


def _left(judgement: Judgement, left: str, printer: _ClaimPrinter) -> str:
    """The left side of the correct equation: one step on where the claim was moved there."""
    if judgement.correct_subject is None:
        return left
    return _formula(judgement.correct_subject, judgement.claim.name, printer)


def _formula(expression: Expression, text: str, printer: _ClaimPrinter) -> str:
    """The formula; what has no formula stands there as it was typed."""
    try:
        return printer(expression)
    except Exception:  # a claim may be anything, shapes that do not meet included
        return rf"\text{{\ttfamily {escape(text)}}}"
