"""`audit --code`: somebody's code as it stands; `cases`: golden cases for kernels."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .failures import Refused
from .shared import existing


def audit_handed_in(
    spec: str | None, code: str, layout: str | None, python: str | None, seconds: float, as_json: bool
) -> int:
    """Print how code as it stands compares with the cell of SPEC, or of the layout, and return the status."""
    import json

    from ..auditing.foreign import ForeignError
    from ..auditing.theirs import reading
    from ..auditing.theirs.judging import audit_code
    from ..derivation.build import build_graph
    from ..spec.reader import load

    written = reading.spec_of(layout) if layout and not spec else None
    if spec is None and written is None:
        raise click.UsageError("which cell is it? Give SPEC, or 'spec:' in the layout: lstmgen audit lstm --code FILE")
    beside = Path(layout).parent / written if layout and written else None
    graph = build_graph(load(existing(str(beside) if beside and beside.is_file() else str(spec or written))))
    told = reading.load(layout, graph) if layout else None
    click.echo(f"running {code}, which is not lstmgen's code, in a process of its own for at most {seconds:g} s", err=True)
    try:
        found = audit_code(graph, code, told, python or sys.executable, seconds)
    except ForeignError as error:
        click.echo(f"error: {error}", err=True)
        return 2
    click.echo(json.dumps(found.as_json(), indent=2) if as_json else "\n".join(found.lines()))
    return 0 if found.holds else 1


@click.command(epilog="Example:  lstmgen cases lstm -o cases.npz")
@click.argument("spec")
@click.option("-o", "--out", required=True, metavar="FILE.npz", type=click.Path(dir_okay=False), help="The file to write.")
@click.option("--force", is_flag=True, help="Overwrite FILE.npz if it exists.")
def cases(spec: str, out: str, force: bool) -> None:
    """Write golden cases: inputs and float64 results that are made to catch wrong kernels.

    `lstmgen audit SPEC --arrays ANSWERS.npz` judges answers to them.
    """
    import os

    from ..auditing.golden import CASES, archive, golden_cases
    from ..derivation.build import build_graph
    from ..files import write_outputs
    from ..spec.reader import load

    path = Path(out)
    if path.suffix != ".npz":
        raise Refused(f"'{out}' does not end in .npz")
    if os.path.lexists(path) and not force:
        raise Refused(f"{path} exists already; --force overwrites it")
    arrays = golden_cases(build_graph(load(existing(spec))))
    write_outputs(path.parent, {path.name: archive(arrays)}, force=True)
    click.echo(f"wrote {path}: {len(CASES)} cases, {len(arrays)} arrays; judge answers to them with: "
               f"lstmgen audit {spec} --arrays ANSWERS.npz")
