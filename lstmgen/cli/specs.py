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


@click.command(epilog="Example:  lstmgen new my_cell --from gru\n\nExample:  lstmgen new my_cell --latex paper.tex")
@click.argument("name")
@click.option("--from", "origin", metavar="SPEC", help="Start with the equations of this cell.")
@click.option("--latex", metavar="FILE", help="Start with the forward equations of this text of LaTeX or Markdown.")
@click.option("--force", is_flag=True, help="Overwrite NAME.yaml if it exists.")
def new(name: str, origin: str | None, latex: str | None, force: bool) -> None:
    """Write NAME.yaml, a commented spec to start from."""
    from ..files import write_outputs
    from ..spec.starter import starter

    if origin and latex:
        raise click.UsageError("--from and --latex exclude each other")
    try:
        text = drafted(name, latex) if latex else starter(name, existing(origin) if origin else None)
    except ValueError as error:
        raise Refused(str(error)) from None
    path = Path(f"{name}.yaml")
    if os.path.lexists(path) and not force:
        raise Refused(f"{path} exists already; --force overwrites it")
    write_outputs(path.parent, {path.name: text.encode("utf-8")}, force=True)
    click.echo(f"wrote {path}; build it with: lstmgen build {path}")


@click.command(epilog="Example:  lstmgen schema > lstmgen.schema.json")
def schema() -> None:
    """Print the JSON Schema of a spec, for editors."""
    import json

    from ..spec.schema import schema as json_schema

    click.echo(json.dumps(json_schema(), indent=2))
