"""All stages of the pipeline in one place: start reading here.

    load            text        -> CellSpec     spec/
    build_graph     CellSpec    -> Graph        derivation/build.py, with language/
    derive          Graph       -> Derivation   derivation/chain.py, derivation/calculus.py, numerics/vanishing.py
    make_schedule   Derivation  -> Schedule     schedule/
    module_source   Schedule    -> NAME.py      outputs/numpy/, templates/numpy/
    texts           Schedule    -> other files  outputs/targets.py: c/, torch/, jax/
    verify          all of it   -> Verdict      proofs/
    render_document Schedule    -> NAME.tex     document/, templates/latex/
    render_page     Schedule    -> NAME.html    document/page/, templates/page/
    compile_pdf     NAME.tex    -> NAME.pdf     document/latex/pdf.py

Each stage takes the record of the one before and knows nothing of the others. Files are written whole or not at all, and
only if the proofs hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from errno import ENOENT
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING

from .derivation.build import build_graph
from .derivation.graph import Graph
from .language.names import IDENTIFIER
from .printed import Brief, Printed, shortened
from .resources import find_spec
from .spec import reader as _spec
from .spec.cell import CellSpec

if TYPE_CHECKING:
    import numpy as np

    from .derivation.chain import Derivation
    from .document.compose import Extras
    from .numerics.fading import Fading
    from .proofs.verdict import Figure, Verdict
    from .schedule.records import Schedule


MOST_UNROLLED = 6  # steps that a document writes out


class VerificationFailed(Exception):
    """A module or a derivation that does not pass its proofs. Nothing was written."""

    def __init__(self, name: str, verdict: Verdict):
        super().__init__(f"{name} does not pass its proofs")
        self.name, self.verdict = name, verdict

    def __reduce__(self) -> tuple[type[VerificationFailed], tuple[str, Verdict]]:
        return VerificationFailed, (self.name, self.verdict)


@dataclass(frozen=True, repr=False)
class BuiltTarget(Brief):
    """What a build found of a target beside NumPy."""

    name: str
    figures: tuple[Figure, ...]  # of its proofs; none if they did not run
    reason: str = ""  # why they did not run, if they were asked for

    def told(self) -> str:
        """One line for the terminal."""
        if self.reason:
            return f"{self.name}: NOT VERIFIED: {self.reason}"
        if not self.figures:
            return f"{self.name}: not verified: the proofs were not run"
        worst = max(figure.error for figure in self.figures)
        return f"{self.name}: verified, {len(self.figures)} figures, the worst {worst:.1e}"


@dataclass(frozen=True, repr=False)
class Built(Printed):
    """What a build made."""

    name: str
    files: tuple[Path, ...]  # what was written
    verdict: Verdict | None  # None if the proofs were not run
    pdf_failure: str = ""  # why the PDF that was asked for is missing
    targets: tuple[BuiltTarget, ...] = ()  # beside NumPy

    def styled(self) -> str:
        proofs = self.verdict.lines() if self.verdict else ["not verified: the proofs were not run"]
        targets = [target.told() for target in self.targets]
        failure = [f"error: no PDF: {self.pdf_failure}"] if self.pdf_failure else []
        return "\n".join([*proofs, *targets, f"wrote {'  '.join(map(str, self.files))}", *failure])

    def __repr__(self) -> str:
        state = "verified" if self.verdict else "not verified"
        return shortened(f"<Built {self.name}: {state}, {', '.join(file.name for file in self.files)}>")


def load(path_or_text: str | Path) -> CellSpec:
    """The cell of a file, of a packaged spec (by its name), or of a text. Raises `SpecError` if there is a mistake."""
    if isinstance(path_or_text, str) and IDENTIFIER.match(path_or_text) and not Path(path_or_text).exists():
        packaged = find_spec(path_or_text)
        if packaged is None:
            raise FileNotFoundError(ENOENT, "no such file, and no packaged spec of that name", path_or_text)
        return _spec.load(packaged)
    return _spec.load(path_or_text)


def derive(cell: CellSpec | Graph) -> Derivation:
    """Every adjoint and gradient of a cell, with one record for each contribution."""
    from .derivation.chain import derive as differentiate  # SymPy comes with it
    from .document.notebook import displayable
    from .numerics.vanishing import without_vanishing

    everything = differentiate(cell if isinstance(cell, Graph) else build_graph(cell))
    return displayable(without_vanishing(everything))


def verify(path_or_text: str | Path | CellSpec) -> Verdict:
    """Derive a cell, make its module, and run every proof on both."""
    return _prove(_schedule(path_or_text))[1]


def measure(
    cell: str | Path | CellSpec | Derivation, sizes: Mapping[str, int] | None = None,
    params: Mapping[str, np.ndarray] | None = None,
) -> tuple[Derivation, Fading]:
    """Derive a cell and measure how its gradient fades, with sizes and parameters of one's own where they are given."""
    from .derivation.chain import Derivation
    from .numerics.fading import fade
    from .outputs.numpy.module import module_source
    from .schedule.make import make_schedule

    derivation = cell if isinstance(cell, Derivation) else derive(cell if isinstance(cell, CellSpec) else load(cell))
    module = execute(module_source(make_schedule(derivation), verified=False), derivation.graph.spec.name)
    return derivation, fade(derivation, module, sizes=sizes, params=params)


def build(
    path_or_text: str | Path | CellSpec,
    out: str | Path = "generated",
    *,
    notation: str | None = None,
    pdf: bool = False,
    verify: bool = True,
    force: bool = False,
    unroll: int | None = None,
    checkpoint: int | None = None,
    bare: bool = False,
    targets: Sequence[str] = ("numpy",),
    document: bool = True,
    html: bool = False,
    sections: Sequence[str] = (),
) -> Built:
    """Write the files of each target into `out`, and with "numpy" NAME.tex, and NAME.pdf with `pdf`, if the proofs hold.

    `targets` are some of "numpy" (NAME.py), "c" (NAME.c, NAME.h, NAME_test.c, NAME_c.py), "torch" (NAME_torch.py) and "jax"
    (NAME_jax.py). Without `document` there is no NAME.tex; with `html` there is NAME.html, a page that computes.
    A target that cannot be run on this machine is written all the same, and says that it is not verified.

    `sections` change what the document has: "paths" adds a section and "no-listing" leaves one out, of
    `document.compose.SECTIONS`.
    `notation` is used in place of the spec's own. `force` overwrites files that were edited since they were generated.
    With `unroll`, from 2 to 6, the document writes the gradients out over so many steps.
    With `checkpoint`, the module keeps the state at every so many steps and computes the steps between again.
    A `bare` module has no checks of arguments and no check of its own.
    Raises `SpecError`; `VerificationFailed` if a proof fails; `OutputError` if a file cannot or must not be written.
    """
    from .document.compose import chosen_sections, render_document
    from .document.notation import make_notation
    from .files import stamp, write_outputs
    from .outputs.numpy.module import module_source
    from .outputs.targets import COMMENTS, NAMES, NUMPY

    unknown = [name for name in targets if name not in NAMES]
    if unknown or not targets:
        raise ValueError(f"{unknown[0]!r} is no target: there are {', '.join(NAMES)}" if unknown else "there is no target")
    if unroll is not None and not 2 <= unroll <= MOST_UNROLLED:
        raise ValueError(f"gradients are unrolled over 2 to {MOST_UNROLLED} steps, and not over {unroll}")
    chosen = chosen_sections(sections)
    schedule = _schedule(path_or_text)
    name = schedule.graph.spec.name
    symbols = make_notation(schedule.graph, notation)
    verdict = None
    if verify:
        module_text, verdict = _prove(schedule, checkpoint, bare)
        if not verdict.passed:
            raise VerificationFailed(name, verdict)
    else:
        module_text = module_source(schedule, verified=False, checkpoint=checkpoint, bare=bare)
    reference = execute(module_source(schedule, verified=False, checkpoint=checkpoint) if bare else module_text, name)
    texts, found = {}, []
    if NUMPY in targets:
        texts[f"{name}.py"] = module_text
        if document:
            extras = replace(_extras(schedule, reference, unroll), sections=chosen)
            texts[f"{name}.tex"] = render_document(schedule.plan, symbols, verdict, name, extras)
    if html:
        from .document.page.compose import render_page

        texts[f"{name}.html"] = render_page(schedule, notation, verdict)
    for each in dict.fromkeys(targets):
        if each != NUMPY:
            its_texts, result = _built_target(each, schedule, reference, verdict, checkpoint, targets)
            texts |= its_texts
            found.append(result)
    texts = {file: stamp(text, COMMENTS[Path(file).suffix]) for file, text in texts.items()}
    outputs = {file: text.encode("utf-8") for file, text in texts.items()}
    failure = ""
    if pdf and f"{name}.tex" in texts:
        failure = _add_pdf(outputs, texts, name)
    folder = Path(out)
    write_outputs(folder, outputs, force)
    return Built(name, tuple(folder / file for file in outputs), verdict, failure, tuple(found))


def _built_target(
    name: str, schedule: Schedule, reference: ModuleType, verdict: Verdict | None, checkpoint: int | None,
    targets: Sequence[str],
) -> tuple[dict[str, str], BuiltTarget]:
    """The texts of a target beside NumPy, proved if the module was; those that say so if they cannot be run here.

    One that uses the files of another of the `targets` is proved once more with these beside it.
    """
    from .outputs.targets import CannotRun, target
    from .proofs.verify import verify_target

    made, cell = target(name), schedule.graph.spec.name
    if verdict is None:
        return made.texts(schedule, reference, False, checkpoint), BuiltTarget(name, ())
    # the proofs take few steps, and must pass some checkpoints
    few = 2 if checkpoint else None
    figures: tuple[Figure, ...] = ()
    with TemporaryDirectory(prefix="lstmgen-") as folder:
        for each in [made, *(target(other) for other in targets if other == made.uses)]:
            for file, text in each.texts(schedule, reference, True, few).items():
                (Path(folder) / file).write_text(text, encoding="utf-8")
            try:
                module = made.load(Path(folder), cell)
            except CannotRun as error:
                return made.texts(schedule, reference, False, checkpoint), BuiltTarget(name, (), str(error))
            figures += verify_target(schedule.graph, module, reference)
    if not all(figure.passed for figure in figures):
        raise VerificationFailed(f"{cell} in {name}", replace(verdict, figures=figures))
    return made.texts(schedule, reference, True, checkpoint), BuiltTarget(name, figures)


def _extras(schedule: Schedule, module: ModuleType, unroll: int | None) -> Extras:
    """The numbers that the document shows."""
    from .document.compose import Extras
    from .numerics.fading import fade
    from .numerics.worked import work_out
    from .outputs.numpy.module import loops_source

    measured = fade(schedule.derivation, module)
    size = measured.sizes[0][1] if measured.sizes else 1
    return Extras(unroll, measured, _simple_network(size), work_out(schedule.derivation), loops_source(schedule))


@lru_cache(maxsize=8)
def _simple_network(size: int) -> Fading:
    """How the gradient of a simple RNN of so many units vanishes, to compare others with."""
    from .numerics.fading import fade
    from .outputs.numpy.module import module_source

    schedule = _schedule("rnn")
    module = execute(module_source(schedule, verified=False), "rnn")
    return fade(schedule.derivation, module, sizes={symbol: size for symbol, _ in schedule.graph.dims})


def _schedule(source: str | Path | CellSpec) -> Schedule:
    from .schedule.make import make_schedule

    cell = source if isinstance(source, CellSpec) else load(source)
    return make_schedule(derive(cell))


def _prove(schedule: Schedule, checkpoint: int | None = None, bare: bool = False) -> tuple[str, Verdict]:
    """The text of the module, and the verdict of the proofs."""
    from .outputs.numpy.module import module_source
    from .proofs.verify import verify as run_proofs

    text = module_source(schedule, verified=True, checkpoint=checkpoint, bare=bare)
    module = execute(text, schedule.graph.spec.name)
    if checkpoint:
        vars(module)["_CHECKPOINT"] = 2  # the proofs take few steps, and must pass some checkpoints
    return text, run_proofs(schedule.graph, schedule.derivation, module)


def execute(text: str, name: str) -> ModuleType:
    """Run our own generated text as a module. Never used for the text of a spec."""
    module = ModuleType(name)
    # The proofs must run the text that will be written. It comes from our own printers: the names in it have passed the
    # fence, and every other text of a spec is in it only as an escaped docstring.
    exec(compile(text, f"{name}.py", "exec"), module.__dict__)  # our own generated text, never that of a spec
    return module


def _add_pdf(outputs: dict[str, bytes], texts: dict[str, str], name: str) -> str:
    """Add the PDF to the outputs; or return why there is none."""
    from .document.latex.pdf import TexError, compile_pdf

    try:
        compiled = compile_pdf(texts[f"{name}.tex"])
    except TexError as error:
        return str(error)
    outputs[f"{name}.pdf"] = compiled.pdf
    return ""
