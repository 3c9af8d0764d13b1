"""`audit`: compares what somebody else derived or programmed with the derivation."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..latexin.endings import is_text
from ..resources import DOCS
from .code import audit_handed_in
from .shared import existing, existing_claims
from .texts import read_text

if TYPE_CHECKING:
    from ..auditing.comparing import CodeAudit
    from ..auditing.golden import GoldenAudit
    from ..auditing.judgement import Audit
    from ..derivation.graph import Graph


HELP = f"""Compare a derivation by hand, a program, or its numbers with the true gradients.

CLAIMS is a file of equations, the name of one that comes with lstmgen, or a text of LaTeX or Markdown (.tex, .md,
.ipynb). With --code, --module or --arrays, give a SPEC in its place. Status 0: nothing is wrong; 1: something is wrong or
incomplete; 2: a file cannot be read. How to write claims: {DOCS / 'audit.md'}. How to hand in code:
{DOCS / 'code.md'}. What is read of a text: {DOCS / 'latex.md'}
"""

EXAMPLES = """\b
Examples:  lstmgen audit notes_hats
           lstmgen audit notes.tex --spec lstm
           lstmgen audit lstm --code my_lstm.py
           lstmgen audit lstm --code my_lstm.py --layout my_lstm.layout.yaml
"""


@click.command(help=HELP, epilog=EXAMPLES)
@click.argument("claims", metavar="CLAIMS|SPEC", required=False)
@click.option("--code", metavar="FILE", help="Run the backward function of this .py or .ipynb file, in the form in which it "
              "is written, for the cell of SPEC. This runs somebody else's code.")
@click.option("--layout", metavar="FILE.yaml", help="How the file of --code is called, and which of its arrays is which. "
              "What it leaves out is guessed, and printed.")
@click.option("--python", metavar="INTERPRETER", help="The Python that has what --code imports.  [default: this one]")
@click.option("--module", "target", metavar="FILE.py:FUNCTION",
              help="Run this backward function for the cell of SPEC. This runs somebody else's code.")
@click.option("--arrays", metavar="FILE.npz", help="Compare these numbers with those of the cell of SPEC, or "
              "answers to its golden cases (lstmgen cases).")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--pdf", is_flag=True, help="Write a report, NAME.audit.tex and NAME.audit.pdf.")
@click.option("-o", "--out", default=".", show_default=True, type=click.Path(file_okay=False),
              help="Folder for the report.")
@click.option("--strict", is_flag=True, help="Status 1 also if something holds only under a condition.")
@click.option("--seconds", default=60.0, show_default=True, type=click.FloatRange(0.1, 3600),
              help="Time limit of --code and --module.")
@click.option("--spec", metavar="SPEC", help="The cell that a text of LaTeX or Markdown is about.")
@click.option("--notation", metavar="N", help="Its symbols: greff, ng, hats, colah or graves.  [default: found by trying]")
@click.option("--names", metavar="FILE", type=click.Path(), help="A YAML mapping of its LaTeX to names of SPEC.")
@click.option("--inline", is_flag=True, help="Read formulas within lines of text, too.")
@click.option("--as-claims", is_flag=True, help="Print its equations as a file of claims, and judge nothing.")
def audit(
    claims: str | None, code: str | None, layout: str | None, python: str | None, target: str | None, arrays: str | None,
    as_json: bool, pdf: bool, out: str, strict: bool, seconds: float,
    spec: str | None, notation: str | None, names: str | None, inline: bool, as_claims: bool,
) -> None:
    if not is_text(claims or "") and (spec or notation or names or inline or as_claims):
        raise click.UsageError("--spec, --notation, --names, --inline and --as-claims are for a text: .tex, .md or .ipynb")
    if sum(map(bool, (code, target, arrays, pdf))) > 1:
        raise click.UsageError("--code, --module, --arrays and --pdf exclude each other")
    if (layout or python) and not code:
        raise click.UsageError("--layout and --python belong to --code FILE")
    if code:
        sys.exit(audit_handed_in(claims, code, layout, python, seconds, as_json))
    if claims is None:
        raise click.UsageError("give a file of claims, or a SPEC with --code FILE")
    if target:
        sys.exit(_audit_code(claims, as_json, lambda graph: _of_module(graph, target, seconds)))
    if arrays:
        sys.exit(_audit_code(claims, as_json, lambda graph: _of_arrays(graph, arrays)))
    from ..auditing.judgement import HOLDS, NOT_READ

    if is_text(claims):
        read = read_text(claims, spec, notation, names, inline)
        if as_claims:
            click.echo(read.as_claims(), nl=False)
            return
        audited = read.audit
        _print(read.as_json() if as_json else read.lines())
    else:
        from ..auditing.judge import audit_file
        from ..auditing.report import as_json as report_json

        audited = audit_file(existing_claims(claims))
        _print(report_json(audited) if as_json else audited.lines())
    holds = all(each.verdict == HOLDS for each in audited.judgements) if strict else audited.holds
    status = 0 if holds else 1
    if audited.holds and audited.count(NOT_READ):
        status = 2
    if pdf:
        status = max(status, _audit_report(audited, claims, Path(out), quiet=as_json))
    sys.exit(status)


def _print(told: dict[str, object] | list[str]) -> None:
    """Print JSON, or lines."""
    import json

    click.echo(json.dumps(told, indent=2) if isinstance(told, dict) else "\n".join(told))


def _audit_code(spec: str, as_json: bool, compared: Callable[[Graph], CodeAudit | GoldenAudit]) -> int:
    """Print the result of a comparison with the cell of SPEC, and return the status."""
    import json

    from ..auditing.foreign import ForeignError
    from ..derivation.build import build_graph
    from ..spec.reader import load

    graph = build_graph(load(existing(spec)))
    try:
        found = compared(graph)
    except ForeignError as error:
        click.echo(f"error: {error}", err=True)
        return 2
    click.echo(json.dumps(found.as_json(), indent=2) if as_json else "\n".join(found.lines()))
    return 0 if found.holds else 1


def _of_module(graph: Graph, target: str, seconds: float) -> CodeAudit:
    from ..auditing.code import audit_module, split_target

    path, function = split_target(target)
    click.echo(f"running {function} of {path}, which is not lstmgen's code, in a process of its own "
               f"for at most {seconds:g} s", err=True)
    return audit_module(graph, path, function, seconds)


def _of_arrays(graph: Graph, path: str) -> CodeAudit | GoldenAudit:
    """Numbers of one's own data, or answers to golden cases."""
    from ..auditing.code import audit_arrays
    from ..auditing.golden import audit_answers_to_cases, is_answer

    return audit_answers_to_cases(graph, path) if is_answer(path) else audit_arrays(graph, path)


def _audit_report(audited: Audit, claims: str, out: Path, quiet: bool) -> int:
    """Write the LaTeX report, and its PDF if there is TeX. Returns the status."""
    from ..auditing.report import latex
    from ..document.latex.pdf import TexError, compile_pdf
    from ..files import stamp, write_outputs

    name = f"{Path(claims).stem}.audit"
    text = stamp(latex(audited), "%")
    outputs, failure = {f"{name}.tex": text.encode("utf-8")}, ""
    try:
        outputs[f"{name}.pdf"] = compile_pdf(text).pdf
    except TexError as error:
        failure = str(error)
    write_outputs(out, outputs, force=False)
    if not quiet:
        click.echo(f"wrote {'  '.join(str(out / file) for file in outputs)}")
    if failure:
        click.echo(f"error: no PDF: {failure}", err=True)
    return 1 if failure else 0
