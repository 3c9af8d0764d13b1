"""The commands. The only file that prints or exits; what it prints is made elsewhere.

Status 0: done and verified. 1: the work ran and its answer is no. 2: bad input, nothing written.
What a command needs is imported inside it: `--help` must not wait for SymPy.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from .. import __version__

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
NOTATIONS = ("greff", "ng", "hats", "colah", "graves")  # spec.NOTATIONS, which is not imported for --help
COLLECT_AFTER = 100_000  # new objects: nearly all live to the end, and looking for others costs 5 % of a build
TRACEBACK = "LSTMGEN_TRACEBACK"  # set in the environment, it shows where a defect of ours is


class Refused(click.ClickException):
    """Bad usage that click cannot see: a line, and status 2."""

    exit_code = 2

    def show(self, file=None) -> None:
        click.echo(f"error: {self.format_message()}", file=file, err=file is None)


class _Kind(click.Group):
    """Turns whatever goes wrong into a line and a status: never a traceback."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)  # in the order in which they are needed, not of the alphabet

    def invoke(self, context: click.Context):
        _print_anything()
        gc.set_threshold(COLLECT_AFTER)
        try:
            with _stopped_gently():
                return super().invoke(context)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except _Stopped as stop:
            click.echo("terminated", err=True)
            context.exit(128 + stop.number)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            context.exit(130)
        except BrokenPipeError:  # `lstmgen show gru | head`: whoever read has what he wanted
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            context.exit(1)
        except Exception as error:
            if _is_defect(error) and os.environ.get(TRACEBACK):
                raise
            click.echo(_told(error), err=True)
            context.exit(_status_of(error))


class _Stopped(BaseException):
    """Somebody told the process to end: what is half done is taken back on the way out."""

    def __init__(self, number: int):
        self.number = number


@contextmanager
def _stopped_gently() -> Iterator[None]:
    """SIGTERM and SIGHUP end the work as Ctrl-C does: TeX is stopped, and its folder and new files go."""
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():  # no other one may ask for signals
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]  # nohup: let it be

    def stop(number: int, _) -> None:
        for each in numbers:
            signal.signal(each, _go_on)
        raise _Stopped(number)

    for number in numbers:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _go_on(*_) -> None:
    """What is being taken back must not be interrupted. (SIG_IGN would: Python tells of a signal that came just before.)"""


def _print_anything() -> None:
    """A character that the terminal does not have becomes a question mark and ends nothing."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")


def _status_of(error: Exception) -> int:
    """2 for what the user can cure, 1 for a no."""
    from ..errors import SpecError
    from ..files import OutputError

    return 2 if isinstance(error, (SpecError, OutputError, OSError)) else 1


def _is_defect(error: Exception) -> bool:
    """Whether it is nothing that a user can cure or learn from."""
    from concurrent.futures.process import BrokenProcessPool

    from ..pipeline import VerificationFailed

    known = (VerificationFailed, BrokenProcessPool, MemoryError)
    return _status_of(error) == 1 and not isinstance(error, known)


def _told(error: Exception) -> str:
    from concurrent.futures.process import BrokenProcessPool

    from ..errors import SpecError
    from ..pipeline import VerificationFailed

    match error:
        case SpecError():
            return str(error)
        case VerificationFailed():
            return "\n".join([*error.verdict.lines(), f"error: {error}; nothing was written"])
        case OSError(filename=str(name), strerror=str(reason)):
            return f"error: {name}: {reason}"
        case BrokenProcessPool():
            return "error: a worker was killed, probably for want of memory; -j 1 needs least"
        case MemoryError():
            return "error: not enough memory"
    if not _is_defect(error):
        return f"error: {error}"
    said = " ".join(str(error).split())[:200]
    return (f"error: {type(error).__name__}: {said}\n"
            f"This is a defect of lstmgen: please report it, with the spec. {TRACEBACK}=1 shows where it is.")


@click.group(cls=_Kind, context_settings=CONTEXT, epilog="Example:  lstmgen build peephole_lstm --pdf")
@click.version_option(__version__, prog_name="lstmgen")
def main() -> None:
    """From the spec of a recurrent cell to its verified backward pass, as code and as a document."""


@main.command(epilog="Example:  lstmgen build specs/*.yaml -o generated --pdf -j 2")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...")
@click.option("-o", "--out", default="generated", show_default=True, type=click.Path(file_okay=False),
              help="Folder to write into.")
@click.option("--pdf/--no-pdf", default=False, help="Compile NAME.tex to NAME.pdf as well.")
@click.option("--notation", type=click.Choice(NOTATIONS), metavar="N",
              help=f"Symbols of the document: {', '.join(NOTATIONS)}.")
@click.option("--unroll", type=click.IntRange(2, 6), metavar="T",
              help="Have the document write gradients out over T steps, from 2 to 6, with their paths.")
@click.option("--no-verify", is_flag=True, help="Leave the proofs out; the outputs say so.")
@click.option("--force", is_flag=True, help="Overwrite files that were edited since they were made.")
@click.option("--checkpoint", type=click.IntRange(1), metavar="K",
              help="Keep the state at every K steps and compute the steps between anew: less memory.")
@click.option("-j", "--jobs", type=click.IntRange(1), help="Specs to build at once.  [default: all cores]")
def build(specs, out, pdf, notation, unroll, no_verify, force, checkpoint, jobs) -> None:
    """Write NAME.py and NAME.tex for each SPEC, once its proofs hold.

    A SPEC is a file or the name of a packaged spec (see `lstmgen list`).
    """
    options = {"out": out, "pdf": pdf, "notation": notation, "verify": not no_verify, "force": force,
               "unroll": unroll, "checkpoint": checkpoint}
    paths = [_existing(spec) for spec in specs]
    if len(paths) == 1:
        _report_one(_build(paths[0], options))
        return
    names = _names_of(paths, notation)
    results = _results(_attempt, [(_build, path, options) for path in paths], jobs, "building")
    width = max(map(len, names))
    statuses = [_report_line(name, result, width) for name, result in zip(names, results)]
    failed = sum(map(bool, statuses))
    if failed:
        click.echo(f"{failed} of {len(paths)} failed", err=True)
    sys.exit(max(statuses))


def _build(path: Path, options: dict):
    from ..pipeline import build as build_spec

    return build_spec(path, **options)


def _verify(path: Path):
    from ..pipeline import verify as verify_spec

    return verify_spec(path)


def _attempt(job: tuple):
    """A job's result, or what went wrong: one spec's mistake must not end the others."""
    work, *arguments = job
    try:
        return work(*arguments)
    except Exception as error:
        if _is_defect(error) and os.environ.get(TRACEBACK):
            raise
        return error


def _existing(spec: str) -> Path:
    """The file that SPEC means: itself, or a packaged spec of that name."""
    from ..language.names import did_you_mean
    from ..resources import find_spec, packaged_specs

    path = Path(spec)
    if path.is_file():
        return path
    packaged = find_spec(spec)
    if packaged is not None:
        return packaged
    if path.exists():
        return path  # a folder, say: reading it tells what is wrong with it
    cure = did_you_mean(path.stem, [known.stem for known in packaged_specs()])
    raise Refused(f"there is no file '{spec}', and no packaged spec of that name" + (
        f"; {cure}" if cure else "; 'lstmgen list' lists them"))


def _names_of(paths: Sequence[Path], notation: str | None = None) -> list[str]:
    """The cells' names. All mistakes of all specs are told before anything is built."""
    from ..derivation.graph import build_graph
    from ..document.notation import make_notation
    from ..errors import SpecError
    from ..spec.reader import load

    found, names = [], {}
    for path in paths:
        try:
            graph = build_graph(load(path))
            make_notation(graph, notation)
        except SpecError as error:
            found.append(str(error))
            continue
        name = graph.spec.name
        if name in names:
            found.append(f"{path}: error: the cell is called '{name}', and so is that of {names[name]}; "
                         "rename one")
        names.setdefault(name, path)
    if found:
        click.echo("\n".join(found), err=True)
        sys.exit(2)
    return list(names)


def _results(work: Callable, jobs: Sequence, count: int | None, label: str) -> list:
    """Results of `work` on every job, in order, on several cores, with a bar where there is a terminal."""
    from concurrent.futures import as_completed

    count = min(count or os.cpu_count() or 1, len(jobs))
    with _bar(len(jobs), label) as advance:
        if count == 1:
            results = []
            for job in jobs:
                results.append(work(job))
                advance(1)
            return results
        with _pool(count) as pool:
            futures = [pool.submit(_in_worker, work, job) for job in jobs]
            for _ in as_completed(futures):
                advance(1)
            return [future.result() for future in futures]


@contextmanager
def _bar(length: int, label: str) -> Iterator[Callable[[int], None]]:
    """What moves the progress bar on."""
    if length == 1 or not sys.stderr.isatty():
        yield lambda steps: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield bar.update


@contextmanager
def _pool(count: int) -> Iterator:
    """Worker processes. When the work is interrupted they leave at once, and say nothing."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    pool = ProcessPoolExecutor(count, initializer=_leave_quietly)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in multiprocessing.active_children():
            worker.terminate()
        raise
    pool.shutdown()


def _leave_quietly() -> None:
    """Lets a worker leave when it is told to, by way of SystemExit: half-written files are taken back."""
    import signal

    def leave(*_) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _go_on)
        sys.exit(130)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)


def _in_worker(work: Callable, job):
    """The work, in a process that takes no further job once it was told to leave."""
    try:
        return work(job)
    except SystemExit:
        os._exit(130)


def _report_one(built) -> None:
    for line in built.verdict.lines() if built.verdict else ["not verified: the proofs were left out"]:
        click.echo(line)
    click.echo(f"wrote {'  '.join(map(str, built.files))}")
    if built.pdf_failure:
        click.echo(f"error: no PDF: {built.pdf_failure}", err=True)
        sys.exit(1)


def _report_line(name: str, result, width: int) -> int:
    if isinstance(result, Exception):
        click.echo(f"{name:<{width}}  failed\n{_told(result)}", err=True)
        return _status_of(result)
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

    paths = [_existing(spec) for spec in specs]
    names = _names_of(paths)
    results = _results(_attempt, [(_verify, path) for path in paths], jobs, "verifying")
    found = dict(zip(names, results))
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
            click.echo(f"{name}: {_told(result)}" if len(paths) > 1 else _told(result), err=True)
            statuses.append(_status_of(result))
    sys.exit(max(statuses))


@main.command(epilog="Example:  lstmgen show gru")
@click.argument("spec")
def show(spec) -> None:
    """The forward equations and the derived gradient, in the terminal."""
    from ..document.terminal.show import show_derivation
    from ..pipeline import derive, load

    click.echo(show_derivation(derive(load(_existing(spec))), _has_symbols(), _width()))


@main.command(epilog="Example:  lstmgen explain peephole_lstm c")
@click.argument("spec")
@click.argument("name")
def explain(spec, name) -> None:
    """One variable's gradient, fork by fork: who reads it, when, and what comes back."""
    from ..document.terminal.show import UnknownName, explain_gradient
    from ..pipeline import derive, load

    try:
        click.echo(explain_gradient(derive(load(_existing(spec))), name, _has_symbols(), _width()))
    except UnknownName as error:
        raise Refused(str(error)) from None


@main.command(epilog="Example:  lstmgen diff peephole_lstm lstm")
@click.argument("first", metavar="SPEC")
@click.argument("second", metavar="SPEC")
def diff(first, second) -> None:
    """What one cell's derivative has that the other's has not: stages, forks, terms."""
    from ..document.terminal.comparison import compare, comparison_text
    from ..pipeline import derive, load

    cells = [derive(load(_existing(spec))) for spec in (first, second)]
    click.echo(comparison_text(compare(*cells), _has_symbols(), _width()))


@main.command(epilog="Example:  lstmgen flow lstm gru -o fading.svg")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...")
@click.option("-o", "--out", metavar="FILE", type=click.Path(dir_okay=False), help="Draw it, too: png, svg or pdf.")
@click.option("--force", is_flag=True, help="Overwrite FILE even if it is no figure of lstmgen's.")
def flow(specs, out, force) -> None:
    """How the gradient fades: the norm of a state's derivative over the lag.

    Along the direct path alone and along all paths, beside a simple RNN of the same size.
    """
    from ..document.charts import FORMATS, NoPicture

    path = Path(out) if out else None
    if path and path.suffix[1:].lower() not in FORMATS:
        raise Refused(f"'{out}' ends in none of .{', .'.join(FORMATS)}: the ending says what is drawn")
    from .flow import REFERENCE, flow_text, measure, write_figure

    paths = [_existing(spec) for spec in specs]
    names = _names_of(paths)
    if REFERENCE not in names:
        paths.append(_existing(REFERENCE))
    cells = [measure(spec) for spec in paths]
    click.echo(flow_text(cells, _has_symbols(), _width()))
    if path is None:
        return
    try:
        write_figure(path, [fading for _, fading in cells], force)
    except NoPicture as error:
        click.echo(f"error: no figure: {error}", err=True)
        sys.exit(1)
    click.echo(f"wrote {path}")


@main.command(epilog="Example:  lstmgen expand lstm > my_cell.yaml")
@click.argument("spec")
def expand(spec) -> None:
    """The equations that a spec of switches stands for, as a spec."""
    from ..spec.expand import expand as expanded
    from ..spec.reader import load

    # as bytes: a spec is UTF-8, whatever the terminal is
    click.echo(expanded(load(_existing(spec))).encode("utf-8"), nl=False)


@main.command("list", epilog="Example:  lstmgen list")
def list_specs() -> None:
    """The cells that come with lstmgen: name, title, who confirmed it."""
    from ..document.terminal.show import list_cells

    click.echo(list_cells(_has_symbols(), _width()))


@main.command(epilog="Example:  lstmgen new my_cell --from gru")
@click.argument("name")
@click.option("--from", "origin", metavar="SPEC", help="Begin with this cell's equations.")
@click.option("--force", is_flag=True, help="Overwrite NAME.yaml if it is there.")
def new(name, origin, force) -> None:
    """Write NAME.yaml, a commented spec to start from."""
    from ..files import write_outputs
    from ..spec.starter import starter

    try:
        text = starter(name, _existing(origin) if origin else None)
    except ValueError as error:
        raise Refused(str(error)) from None
    path = Path(f"{name}.yaml")
    if os.path.lexists(path) and not force:
        raise Refused(f"{path} is there already; --force overwrites it")
    write_outputs(path.parent, {path.name: text.encode("utf-8")}, force=True)
    click.echo(f"wrote {path}; build it with: lstmgen build {path}")


@main.command(epilog="Example:  lstmgen schema > lstmgen.schema.json")
def schema() -> None:
    """The JSON Schema of a spec, for editors."""
    import json

    from ..spec.schema import schema as json_schema

    click.echo(json.dumps(json_schema(), indent=2))


def _has_symbols() -> bool:
    """Whether the terminal can show symbols."""
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "")
    return encoding.startswith("utf")


def _width() -> int:
    """Of the terminal, within what can be read; 100 where there is none."""
    from shutil import get_terminal_size

    return min(max(get_terminal_size((100, 24)).columns, 60), 100)


@main.command(epilog="Example:  lstmgen audit audits/notes_hats.yaml")
@click.argument("claims", metavar="CLAIMS|SPEC")
@click.option("--module", "target", metavar="FILE.py:FUNCTION",
              help="Run this backward function of a SPEC's cell. It is a stranger's code.")
@click.option("--arrays", metavar="FILE.npz", help="Hold these numbers against those of a SPEC's cell.")
@click.option("--json", "as_json", is_flag=True, help="Everything, for machines.")
@click.option("--pdf", is_flag=True, help="Write a report, NAME.audit.tex and NAME.audit.pdf.")
@click.option("-o", "--out", default=".", show_default=True, type=click.Path(file_okay=False),
              help="Folder of the report.")
@click.option("--strict", is_flag=True, help="Status 1 for what holds only under a condition, too.")
@click.option("--seconds", default=60.0, show_default=True, type=click.FloatRange(0.1, 3600),
              help="Time limit of --module.")
def audit(claims, target, arrays, as_json, pdf, out, strict, seconds) -> None:
    """Hold a hand-written derivation, or code, or its numbers, against the true gradients.

    CLAIMS is a file of equations. With --module or --arrays it is a SPEC instead. Status 0: nothing is
    wrong; 1: something is; 2: a file that cannot be read. docs/audit.md says what claims are and how a
    function is called.
    """
    if target or arrays:
        if pdf or (target and arrays):
            raise click.UsageError("--module, --arrays and --pdf exclude each other")
        sys.exit(_audit_code(claims, target, arrays, as_json, seconds))
    import json

    from ..auditing.judge import HOLDS, audit_file
    from ..auditing.report import as_json as report_json
    from ..auditing.report import lines

    audited = audit_file(claims)
    click.echo(json.dumps(report_json(audited), indent=2) if as_json else "\n".join(lines(audited)))
    holds = all(each.verdict == HOLDS for each in audited.judgements) if strict else audited.holds
    status = 0 if holds else 1
    if pdf:
        status = max(status, _audit_report(audited, claims, Path(out), quiet=as_json))
    sys.exit(status)


def _audit_code(spec: str, target: str | None, arrays: str | None, as_json: bool, seconds: float) -> int:
    import json

    from ..auditing.code import ForeignError, audit_arrays, audit_module, split_target
    from ..derivation.graph import build_graph
    from ..spec.reader import load

    graph = build_graph(load(_existing(spec)))
    try:
        if target:
            path, function = split_target(target)
            click.echo(f"running {function} of {path}, which is not lstmgen's code, in a process of its own "
                       f"for at most {seconds:g} s", err=True)
            found = audit_module(graph, path, function, seconds)
        else:
            found = audit_arrays(graph, arrays)
    except ForeignError as error:
        click.echo(f"error: {error}", err=True)
        return 2
    click.echo(json.dumps(found.as_json(), indent=2) if as_json else "\n".join(found.lines()))
    return 0 if found.holds else 1


def _audit_report(audited, claims: str, out: Path, quiet: bool) -> int:
    """The LaTeX report, and its PDF where there is TeX."""
    from ..auditing.report import latex
    from ..document.latex.pdf import TexError, compile_pdf
    from ..files import stamp, write_outputs

    name = f"{Path(claims).stem}.audit"
    text = stamp(latex(audited), "%")
    outputs, failure = {f"{name}.tex": text.encode("utf-8")}, ""
    try:
        outputs[f"{name}.pdf"] = compile_pdf(text, {}).pdf
    except TexError as error:
        failure = str(error)
    write_outputs(out, outputs, force=False)
    if not quiet:
        click.echo(f"wrote {'  '.join(str(out / file) for file in outputs)}")
    if failure:
        click.echo(f"error: no PDF: {failure}", err=True)
    return 1 if failure else 0
