"""`build` and `verify`: the proofs, and the files that are written if they hold."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from .failures import status_of, told
from .shared import NOTATIONS, existing, names_of
from .workers import results

if TYPE_CHECKING:
    from ..pipeline import Built

TARGETS = ("numpy", "c", "torch", "jax")  # those of outputs/targets.py, which is not imported for --help


@click.command(epilog="Example:  lstmgen build lstm gru -o generated --pdf -j 2")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...")
@click.option("-o", "--out", default="generated", show_default=True, type=click.Path(file_okay=False),
              help="Folder to write into.")
@click.option("--target", "targets", multiple=True, type=click.Choice((*TARGETS, "all")), metavar="TARGET",
              help=f"What to write: {', '.join(TARGETS)}, or all; may be given several times.  [default: numpy]")
@click.option("--no-document", is_flag=True, help="Do not write NAME.tex.")
@click.option("--html", is_flag=True, help="Also write NAME.html: the derivation as a page that computes, for a browser.")
@click.option("--pdf/--no-pdf", default=False, help="Also compile NAME.tex to NAME.pdf.")
@click.option("--notation", type=click.Choice(NOTATIONS), metavar="N",
              help=f"Symbols of the document: {', '.join(NOTATIONS)}.  [default: the names of the spec]")
@click.option("--unroll", type=click.IntRange(2, 6), metavar="T",
              help="Write gradients out over T steps (2 to 6) in the document, with their paths.")
@click.option("--sections", metavar="LIST",
              help="Of the document: 'paths' adds a section, 'no-listing' leaves one out; several with commas between.")
@click.option("--no-verify", is_flag=True, help="Do not run the proofs; the outputs say so.")
@click.option("--force", is_flag=True, help="Overwrite files that were edited since they were generated.")
@click.option("--checkpoint", type=click.IntRange(1), metavar="K",
              help="Keep the state at every K-th step only, and compute the steps between again: less memory.")
@click.option("--bare", is_flag=True, help="Write NAME.py without checks of arguments and without its own check: to read.")
@click.option("-j", "--jobs", type=click.IntRange(1), help="How many specs to build at the same time.  [default: all cores]")
def build(
    specs: tuple[str, ...], out: str, targets: tuple[str, ...], no_document: bool, html: bool, pdf: bool,
    notation: str | None, unroll: int | None, sections: str | None, no_verify: bool, force: bool, checkpoint: int | None,
    bare: bool, jobs: int | None,
) -> None:
    """Write the files of each target for each SPEC, if its proofs hold.

    \b
    numpy   NAME.py, and NAME.tex that derives it
    c       NAME.c, NAME.h, NAME_test.c, and NAME_c.py that compiles and calls them
    torch   NAME_torch.py, a layer and a cell for PyTorch
    jax     NAME_jax.py, pure functions for jit, grad, vmap and shard_map

    SPEC is a file, or the name of a packaged spec (see `lstmgen list`).
    """
    from .. import pipeline

    asked = tuple(each.strip() for each in sections.split(",")) if sections else ()
    _refuse_unknown_sections(asked)
    work = partial(pipeline.build, out=out, sections=asked, pdf=pdf, notation=notation, verify=not no_verify, force=force,
                   unroll=unroll, checkpoint=checkpoint, bare=bare, document=not no_document, html=html,
                   targets=TARGETS if "all" in targets else targets or TARGETS[:1])
    paths = [existing(spec) for spec in specs]
    if len(paths) == 1:
        _report_one(work(paths[0]))
        return
    names = names_of(paths, notation)
    found = results(work, paths, jobs, "building")
    width = max(map(len, names))
    statuses = [_report_line(name, result, width) for name, result in zip(names, found)]
    failed = sum(map(bool, statuses))
    if failed:
        click.echo(f"{failed} of {len(paths)} failed", err=True)
    sys.exit(max(statuses))


def _refuse_unknown_sections(asked: tuple[str, ...]) -> None:
    """Before anything is built: one message, whatever the number of specs."""
    if asked:
        from ..document.compose import chosen_sections

        try:
            chosen_sections(asked)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="'--sections'") from None


def _report_one(built: Built) -> None:
    for line in built.verdict.lines() if built.verdict else ["not verified: the proofs were not run"]:
        click.echo(line)
    for target in built.targets:
        click.echo(target.told(), err=bool(target.reason))
    click.echo(f"wrote {'  '.join(map(str, built.files))}")
    if built.pdf_failure:
        click.echo(f"error: no PDF: {built.pdf_failure}", err=True)
    if built.pdf_failure or any(target.reason for target in built.targets):
        sys.exit(1)


def _report_line(name: str, result: Built | Exception, width: int) -> int:
    if isinstance(result, Exception):
        click.echo(f"{name:<{width}}  failed\n{told(result)}", err=True)
        return status_of(result)
    state = f"verified, {result.verdict.forks:3d} contributions" if result.verdict else "not verified"
    click.echo(f"{result.name:<{width}}  {state}  {' '.join(file.name for file in result.files)}")
    unproved = [target for target in result.targets if target.reason]
    for target in unproved:
        click.echo(f"error: {result.name}: {target.told()}", err=True)
    if result.pdf_failure:
        click.echo(f"error: no PDF: {result.pdf_failure}", err=True)
    return int(bool(unproved or result.pdf_failure))


@click.command(epilog="Example:  lstmgen verify peephole_lstm --json")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...")
@click.option("--json", "as_json", is_flag=True, help="Print every figure as JSON.")
@click.option("-j", "--jobs", type=click.IntRange(1), help="How many specs to verify at the same time.  [default: all cores]")
def verify(specs: tuple[str, ...], as_json: bool, jobs: int | None) -> None:
    """Run the proofs, print every figure, and write nothing."""
    import json

    from .. import pipeline

    paths = [existing(spec) for spec in specs]
    names = names_of(paths)
    found = dict(zip(names, results(pipeline.verify, paths, jobs, "verifying")))
    verdicts = {name: result for name, result in found.items() if not isinstance(result, Exception)}
    if as_json:
        click.echo(json.dumps({name: verdict.as_json() for name, verdict in verdicts.items()}, indent=2))
    else:
        for name, verdict in verdicts.items():
            heading = [f"\n{name}"] if len(paths) > 1 else []
            click.echo("\n".join([*heading, *verdict.lines(every=True)]))
    statuses = [int(not verdict.passed) for verdict in verdicts.values()]
    for name, result in found.items():
        if isinstance(result, Exception):
            click.echo(f"{name}: {told(result)}" if len(paths) > 1 else told(result), err=True)
            statuses.append(status_of(result))
    sys.exit(max(statuses))
