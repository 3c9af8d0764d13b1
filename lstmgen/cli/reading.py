"""`show`, `explain`, `diff` and `flow`: a cell and its derivation, to be read in the terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .failures import Refused
from .shared import existing, has_symbols, names_of, width


@click.command(epilog="Example:  lstmgen show gru")
@click.argument("spec")
def show(spec: str) -> None:
    """Print the forward equations and the derived gradients."""
    from ..document.terminal.show import show_derivation
    from ..pipeline import derive, load

    click.echo(show_derivation(derive(load(existing(spec))), has_symbols(), width()))


@click.command(epilog="Example:  lstmgen explain peephole_lstm c")
@click.argument("spec")
@click.argument("name")
def explain(spec: str, name: str) -> None:
    """Explain the gradient of one variable: its readers, and what each sends back."""
    from ..document.terminal.explain import UnknownName, explain_gradient
    from ..pipeline import derive, load

    try:
        click.echo(explain_gradient(derive(load(existing(spec))), name, has_symbols(), width()))
    except UnknownName as error:
        raise Refused(str(error)) from None


@click.command(epilog="Example:  lstmgen diff peephole_lstm lstm")
@click.argument("first", metavar="SPEC")
@click.argument("second", metavar="SPEC")
def diff(first: str, second: str) -> None:
    """Show what is different in the derivatives of two cells: stages, contributions, parameters."""
    from ..document.terminal.comparison import compare, comparison_text
    from ..pipeline import derive, load

    one, other = (derive(load(existing(spec))) for spec in (first, second))
    click.echo(comparison_text(compare(one, other), has_symbols(), width()))


@click.command(epilog="Example:  lstmgen flow lstm gru -o fading.svg")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...")
@click.option("-o", "--out", metavar="FILE", type=click.Path(dir_okay=False),
              help="Also draw it into this file: png, svg or pdf.")
@click.option("--force", is_flag=True, help="Overwrite FILE even if it is not a figure of lstmgen.")
def flow(specs: tuple[str, ...], out: str | None, force: bool) -> None:
    """Show how the gradient vanishes or explodes: the norm of a state's derivative over the lag.

    Along all paths and along the direct path only, beside a simple RNN of the same size.
    """
    from ..document.charts import FORMATS, NoPicture

    path = Path(out) if out else None
    if path and path.suffix[1:].lower() not in FORMATS:
        raise Refused(f"'{out}' ends in none of .{', .'.join(FORMATS)}: the ending chooses the format")
    from .flow import REFERENCE, flow_text, measure, write_figure

    paths = [existing(spec) for spec in specs]
    names = names_of(paths)
    if REFERENCE not in names:
        paths.append(existing(REFERENCE))
    cells = [measure(each) for each in paths]
    click.echo(flow_text(cells, has_symbols(), width()))
    if path is None:
        return
    try:
        write_figure(path, [fading for _, fading in cells], force)
    except NoPicture as error:
        click.echo(f"error: no figure: {error}", err=True)
        sys.exit(1)
    click.echo(f"wrote {path}")
