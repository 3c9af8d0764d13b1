"""The commands. The only file that prints or exits; what it prints is made elsewhere.

Status 0: done and verified. 1: the work ran and its answer is no. 2: bad input, nothing written.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from . import __version__

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class _Kind(click.Group):
    """Turns what can go wrong into a line and a status: never a traceback."""

    def invoke(self, context: click.Context):
        try:
            return super().invoke(context)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            context.exit(130)
        except BrokenPipeError:
            sys.stderr.close()
            context.exit(0)
        except Exception as error:
            status = _status_of(error)
            if status is None:
                raise
            click.echo(_told(error), err=True)
            context.exit(status)


def _status_of(error: Exception) -> int | None:
    """2 for what the user can cure, 1 for a no; None for a defect of ours."""
    from .errors import SpecError

    if isinstance(error, (SpecError, OSError)):
        return 2
    if type(error).__name__ in ("OutputError", "OutputEdited"):
        return 2
    if type(error).__name__ == "VerificationFailed":
        return 1
    return None


def _told(error: Exception) -> str:
    if type(error).__name__ == "VerificationFailed":
        return "\n".join([*error.verdict.lines(), f"error: {error}; nothing was written"])
    if isinstance(error, OSError) and error.filename:
        return f"error: {error.filename}: {error.strerror}"
    if type(error).__name__ == "SpecError":
        return str(error)
    return f"error: {error}"


@click.group(cls=_Kind, context_settings=CONTEXT, epilog="Example:  lstmgen build peephole_lstm --pdf")
@click.version_option(__version__, prog_name="lstmgen")
def main() -> None:
    """From the spec of a recurrent cell to its verified backward pass, as code and as a document."""


@main.command(epilog="Example:  lstmgen build specs/*.yaml -o generated --pdf -j 2")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...")
@click.option("-o", "--out", default="generated", show_default=True, type=click.Path(file_okay=False), help="Folder to write into.")
@click.option("--pdf/--no-pdf", default=False, help="Compile NAME.tex to NAME.pdf as well.")
@click.option("--notation", metavar="N", help="Symbols of the document: greff, ng, hats, colah or graves.")
@click.option("--no-verify", is_flag=True, help="Leave the proofs out; the outputs say so.")
@click.option("--force", is_flag=True, help="Overwrite files that were edited since they were made.")
@click.option("-j", "--jobs", type=click.IntRange(1), help="Specs to build at once.  [default: all cores]")
def build(specs, out, pdf, notation, no_verify, force, jobs) -> None:
    """Write NAME.py and NAME.tex for each SPEC, once its proofs hold.

    A SPEC is a file or the name of a packaged spec (see `lstmgen list`).
    """
    options = {"out": out, "pdf": pdf, "notation": notation, "verify": not no_verify, "force": force}
    if len(specs) == 1:
        _report_one(_build_one(specs[0], options))
        return
    _refuse_bad_specs(specs)
    results = _progress(_build_job, [(spec, options) for spec in specs], jobs, "building")
    width = max(len(Path(spec).stem) for spec in specs)
    statuses = [_report_line(spec, result, width) for spec, result in zip(specs, results)]
    if any(statuses):
        click.echo(f"{sum(map(bool, statuses))} of {len(specs)} failed", err=True)
    sys.exit(max(statuses))


def _build_one(spec: str, options: dict):
    from .pipeline import build as build_spec

    return build_spec(_existing(spec), **options)


def _existing(spec: str) -> Path:
    """The file that SPEC means: itself, or a packaged spec of that name."""
    from .resources import find_spec, packaged_specs

    path = Path(spec)
    if path.exists():
        return path
    packaged = find_spec(spec)
    if packaged is not None:
        return packaged
    from .names import did_you_mean

    cure = did_you_mean(path.stem, [known.stem for known in packaged_specs()])
    raise click.BadParameter(f"there is no file '{spec}' and no packaged spec of that name" + (f"; {cure}" if cure else ""))


def _refuse_bad_specs(specs: tuple[str, ...]) -> None:
    """All mistakes of all specs before anything is built."""
    from .errors import SpecError
    from .graph import build_graph
    from .spec import load

    found, names = [], {}
    for spec in specs:
        path = _existing(spec)
        try:
            name = build_graph(load(path)).spec.name
        except SpecError as error:
            found.append(str(error))
            continue
        if name in names:
            found.append(f"{spec}: error: the name '{name}' is that of {names[name]} too: they would overwrite each other")
        names[name] = spec
    if found:
        click.echo("\n".join(found), err=True)
        sys.exit(2)


def _build_job(job):
    spec, options = job
    try:
        return _build_one(spec, options)
    except Exception as error:
        if _status_of(error) is None:
            raise
        return error


def _verify_job(spec: str):
    from .pipeline import verify as verify_spec

    try:
        return verify_spec(_existing(spec))
    except Exception as error:
        if _status_of(error) is None:
            raise
        return error


def _progress(work, jobs: list, count: int | None, label: str) -> list:
    """Results of `work` on every job, in order, on several cores, with a bar where there is a terminal."""
    from concurrent.futures import ProcessPoolExecutor

    count = min(count or os.cpu_count() or 1, len(jobs))
    if sys.stderr.isatty():
        bar = click.progressbar(length=len(jobs), label=label, file=sys.stderr)
    else:
        from contextlib import nullcontext

        bar = nullcontext()
    with bar as shown:
        results = []
        if count == 1:
            stream = map(work, jobs)
        else:
            pool = ProcessPoolExecutor(count)
            stream = pool.map(work, jobs)
        for result in stream:
            results.append(result)
            if shown is not None:
                shown.update(1)
        if count > 1:
            pool.shutdown()
    return results


def _report_one(built) -> None:
    for line in built.verdict.lines() if built.verdict else ["not verified: the proofs were left out"]:
        click.echo(line)
    click.echo(f"wrote {'  '.join(map(str, built.files))}")
    if built.pdf_failure:
        click.echo(f"error: no PDF: {built.pdf_failure}", err=True)
        sys.exit(1)


def _report_line(spec: str, result, width: int) -> int:
    name = Path(spec).stem
    if isinstance(result, Exception):
        click.echo(f"{name:<{width}}  failed", err=True)
        click.echo(_told(result), err=True)
        return _status_of(result) or 1
    state = f"verified, {result.verdict.forks:3d} forks cut" if result.verdict else "not verified"
    click.echo(f"{result.name:<{width}}  {state}  {' '.join(file.name for file in result.files)}")
    if result.pdf_failure:
        click.echo(f"error: no PDF: {result.pdf_failure}", err=True)
        return 1
    return 0


@main.command(epilog="Example:  lstmgen verify peephole_lstm --json")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...")
@click.option("--json", "as_json", is_flag=True, help="Every figure, for machines.")
@click.option("-j", "--jobs", type=click.IntRange(1), help="Specs to verify at once.  [default: all cores]")
def verify(specs, as_json, jobs) -> None:
    """Run the proofs alone and print every figure."""
    import json

    if len(specs) > 1:
        _refuse_bad_specs(specs)
    results = _progress(_verify_job, list(specs), jobs if len(specs) > 1 else 1, "verifying")
    for result in results:
        if isinstance(result, Exception):
            raise result
    if as_json:
        click.echo(json.dumps({Path(spec).stem: verdict.as_json() for spec, verdict in zip(specs, results)}, indent=2))
    else:
        for spec, verdict in zip(specs, results):
            if len(specs) > 1:
                click.echo(f"\n{Path(spec).stem}")
            for line in verdict.lines():
                click.echo(line)
    sys.exit(0 if all(verdict.passed for verdict in results) else 1)


@main.command(epilog="Example:  lstmgen show gru")
@click.argument("spec")
def show(spec) -> None:
    """The forward equations and the derived gradient, in the terminal."""
    from .pipeline import derive, load
    from .terminal import show_derivation

    _echo(show_derivation(derive(load(_existing(spec))), _unicode()))


@main.command(epilog="Example:  lstmgen explain peephole_lstm c")
@click.argument("spec")
@click.argument("name")
def explain(spec, name) -> None:
    """One variable's gradient, fork by fork: who reads it, when, and what comes back."""
    from .pipeline import derive, load
    from .terminal import UnknownName, explain_gradient

    try:
        _echo(explain_gradient(derive(load(_existing(spec))), name, _unicode()))
    except UnknownName as error:
        raise click.BadParameter(str(error), param_hint="NAME") from None


@main.command(epilog="Example:  lstmgen expand lstm > my_cell.yaml")
@click.argument("spec")
def expand(spec) -> None:
    """The equations that a spec of switches stands for, as a spec."""
    from .expand import expand as expanded
    from .spec import load

    click.echo(expanded(load(_existing(spec))), nl=False)


@main.command("list", epilog="Example:  lstmgen list")
def list_specs() -> None:
    """The specs that come with the package, one line each."""
    from .terminal import list_cells

    _echo(list_cells(_unicode()))


@main.command(epilog="Example:  lstmgen new my_cell --from gru")
@click.argument("name")
@click.option("--from", "origin", metavar="SPEC", help="Begin with this cell's equations.")
@click.option("--force", is_flag=True, help="Overwrite NAME.yaml if it is there.")
def new(name, origin, force) -> None:
    """Write NAME.yaml, a commented spec to start from."""
    from .starter import starter

    text = starter(name, _existing(origin) if origin else None)
    path = Path(f"{name}.yaml")
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise click.UsageError(f"{path} is there already; --force overwrites it") from None
    click.echo(f"wrote {path}; build it with: lstmgen build {path}")


@main.command(epilog="Example:  lstmgen schema > lstmgen.schema.json")
def schema() -> None:
    """The JSON Schema of a spec, for editors."""
    import json

    from .schema import schema as json_schema

    click.echo(json.dumps(json_schema(), indent=2))


def _echo(text: str) -> None:
    """Styled text; click takes the colours out where there is no terminal."""
    click.echo(text)


def _unicode() -> bool:
    """Whether the terminal can show symbols."""
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "")
    return encoding.startswith("utf")
