"""`expand`, `list`, `functions`, `new` and `schema`: specs, and the language that they are written in."""

from __future__ import annotations

import os
from pathlib import Path

import click

from .failures import Refused
from .shared import existing, has_symbols, width
from .texts import drafted


@click.command(epilog="Example:  lstmgen expand lstm > my_cell.yaml")
@click.argument("spec")
def expand(spec: str) -> None:
    """Print the equations that a spec of switches stands for, as a spec."""
    from ..spec.expand import expand as expanded
    from ..spec.reader import load

    # bytes, because a spec is UTF-8 whatever the encoding of the terminal is
    click.echo(expanded(load(existing(spec))).encode("utf-8"), nl=False)


@click.command("list", epilog="Example:  lstmgen list")
def list_specs() -> None:
    """List the cells that come with lstmgen: name, title, who confirmed it."""
    from ..document.catalogue import entries
    from ..document.terminal.show import list_cells

    click.echo(list_cells(entries(), has_symbols(), width()))


@click.command("functions", epilog="Example:  lstmgen functions")
def list_functions() -> None:
    """List the functions of the expression language, with their derivatives."""
    from ..document.terminal.functions import list_functions as listed

    click.echo(listed(width()))


@click.command(epilog="\b\nExamples:  lstmgen new my_cell --from gru\n           lstmgen new my_cell --latex paper.tex\n"
               "           lstmgen new my_lstm --code my_lstm.py")
@click.argument("name")
@click.option("--from", "origin", metavar="SPEC", help="Start with the equations of this cell; with --code: the file's cell.")
@click.option("--latex", metavar="FILE", help="Start with the forward equations of this text of LaTeX or Markdown.")
@click.option("--code", metavar="FILE", help="Write NAME.layout.yaml for this .py or .ipynb file: how it is called, and "
              "which of its arrays is which. This runs somebody else's code.")
@click.option("--python", metavar="INTERPRETER", help="The Python that has what --code imports.  [default: this one]")
@click.option("--force", is_flag=True, help="Overwrite the file if it exists.")
def new(name: str, origin: str | None, latex: str | None, code: str | None, python: str | None, force: bool) -> None:
    """Write NAME.yaml, a commented spec to start from; or the layout of somebody's code, for `lstmgen audit --code`."""
    from ..files import write_outputs
    from ..spec.starter import starter

    if latex and (origin or code):
        raise click.UsageError("--latex stands without --from and --code")
    if python and not code:
        raise click.UsageError("--python belongs to --code FILE")
    path = Path(f"{name}.layout.yaml" if code else f"{name}.yaml")
    if os.path.lexists(path) and not force:
        raise Refused(f"{path} exists already; --force overwrites it")
    try:
        if code:
            text = _layout_of(code, origin, python)
        else:
            text = drafted(name, latex) if latex else starter(name, existing(origin) if origin else None)
    except ValueError as error:
        raise Refused(str(error)) from None
    write_outputs(path.parent, {path.name: text.encode("utf-8")}, force=True)
    then = f"compare it with: lstmgen audit --code {code} --layout {path}" if code else f"build it with: lstmgen build {path}"
    click.echo(f"wrote {path}; {then}")


def _layout_of(code: str, origin: str | None, python: str | None) -> str:
    """The draft of a layout file; a ValueError says why there is none."""
    import sys

    from ..auditing.foreign import ForeignError
    from ..auditing.theirs.starting import draft

    click.echo(f"running {code}, which is not lstmgen's code, in a process of its own", err=True)
    try:
        return draft(code, existing(origin) if origin else None, origin or "", python or sys.executable)
    except ForeignError as error:
        raise ValueError(str(error)) from None


@click.command(epilog="Example:  lstmgen schema > lstmgen.schema.json")
def schema() -> None:
    """Print the JSON Schema of a spec, for editors."""
    import json

    from ..spec.schema import schema as json_schema

    click.echo(json.dumps(json_schema(), indent=2))
