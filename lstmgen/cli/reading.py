"""`show`, `explain`, `diff`, `draw` and `flow`: a cell and its derivation, to be read in the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .failures import Refused
from .shared import NOTATIONS, existing, has_symbols, names_of, width

if TYPE_CHECKING:
    import numpy as np


@click.command(epilog="Example:  lstmgen show gru")
@click.argument("spec")
def show(spec: str) -> None:
    """Print the forward equations and the derived gradients."""
    from ..api import show as shown

    click.echo(shown(existing(spec)).text(has_symbols(), width()))


@click.command(epilog="Example:  lstmgen explain peephole_lstm c")
@click.argument("spec")
@click.argument("name")
def explain(spec: str, name: str) -> None:
    """Explain the gradient of one variable: its readers, and what each sends back."""
    from ..api import explain as explained
    from ..document.terminal.explain import UnknownName

    try:
        click.echo(explained(existing(spec), name).text(has_symbols(), width()))
    except UnknownName as error:
        raise Refused(str(error)) from None


@click.command(epilog="Example:  lstmgen diff peephole_lstm lstm")
@click.argument("first", metavar="SPEC")
@click.argument("second", metavar="SPEC")
def diff(first: str, second: str) -> None:
    """Show what is different in the derivatives of two cells: stages, contributions, parameters."""
    from ..api import diff as compared

    click.echo(compared(existing(first), existing(second)).text(has_symbols(), width()))


@click.command(epilog="Example:  lstmgen draw peephole_lstm -o peephole.svg")
@click.argument("spec", metavar="SPEC")
@click.option("-o", "--out", metavar="FILE", required=True, type=click.Path(dir_okay=False),
              help="The file: svg, or pdf and png, which need TeX.")
@click.option("--notation", type=click.Choice(NOTATIONS), metavar="N",
              help=f"Symbols of the graph: {', '.join(NOTATIONS)}.")
@click.option("--force", is_flag=True, help="Overwrite FILE even if it is not a figure of lstmgen.")
def draw(spec: str, out: str, notation: str | None, force: bool) -> None:
    """Draw the graph of one step: what reads what, with forks in colours."""
    from ..document.charts import FORMATS, NoPicture
    from ..document.latex.pdf import TexError

    if Path(out).suffix[1:].lower() not in FORMATS:
        raise Refused(f"'{out}' ends in none of .{', .'.join(FORMATS)}: the ending chooses the format")
    from ..api import draw as drawn
    from ..document.figures import TooLarge

    try:
        drawn(existing(spec), notation).write(out, force)
    except (NoPicture, TexError, TooLarge) as error:
        click.echo(f"error: no picture: {error}", err=True)
        sys.exit(1)
    click.echo(f"wrote {out}")


@click.command(epilog="Example:  lstmgen flow lstm gru -o fading.svg")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...")
@click.option("-o", "--out", metavar="FILE", type=click.Path(dir_okay=False),
              help="Also draw it into this file: png, svg or pdf.")
@click.option("--size", "sizes", multiple=True, metavar="SYMBOL=N",
              help="A size, as in H=32; may be given several times. Others are chosen.")
@click.option("--params", metavar="FILE", type=click.Path(exists=True, dir_okay=False),
              help="Parameters of your own, an .npz file with the keys of init_params. For one SPEC.")
@click.option("--csv", metavar="FILE", type=click.Path(dir_okay=False), help="Also write every number into this file.")
@click.option("--force", is_flag=True, help="Overwrite FILE even if it is not a figure of lstmgen.")
def flow(
    specs: tuple[str, ...], out: str | None, sizes: tuple[str, ...], params: str | None, csv: str | None, force: bool
) -> None:
    """Show how the gradient vanishes or explodes: the norm of a state's derivative over the lag.

    Along all paths and along the direct path only, beside a simple RNN of the same size.
    """
    from ..document.charts import FORMATS, NoPicture

    path = Path(out) if out else None
    if path and path.suffix[1:].lower() not in FORMATS:
        raise Refused(f"'{out}' ends in none of .{', .'.join(FORMATS)}: the ending chooses the format")
    from ..api import flow as measured

    paths = [existing(spec) for spec in specs]
    names_of(paths)  # all mistakes of all specs are reported before anything is measured
    try:
        found = measured(*paths, sizes=_sizes(sizes), params=_arrays(params) if params else None)
    except ValueError as error:
        raise Refused(str(error)) from None
    click.echo(found.text(has_symbols(), width()))
    if csv:
        Path(csv).write_text(found.csv(), encoding="utf-8")
        click.echo(f"wrote {csv}")
    if path is None:
        return
    try:
        found.write(path, force)
    except NoPicture as error:
        click.echo(f"error: no figure: {error}", err=True)
        sys.exit(1)
    click.echo(f"wrote {path}")


def _sizes(pairs: tuple[str, ...]) -> dict[str, int]:
    """`H=32` and the like."""
    found = {}
    for pair in pairs:
        name, _, number = pair.partition("=")
        if not (name and number.isascii() and number.isdigit() and len(number) < 5):
            raise Refused(f"'{pair}' is no size: write SYMBOL=N, as in H=32")
        found[name] = int(number)
    return found


def _arrays(path: str) -> dict[str, np.ndarray]:
    """The arrays of an .npz file; one that holds objects is refused, because reading these could run code."""
    import zipfile

    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile):
        raise Refused(f"'{path}' is no .npz file of arrays: np.savez(file, **params) writes one") from None
