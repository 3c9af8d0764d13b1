"""What the commands tell, as records, for a script or a notebook.

Each function does what the command of its name does. Its record prints as the text that the command prints, shows
as HTML in a notebook, and holds what the text was made of.
"""

from __future__ import annotations

import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from errno import ENOENT
from pathlib import Path
from typing import overload

import numpy as np

from . import pipeline
from .auditing import claims as _claims
from .auditing.code import audit_arrays, audit_module, split_target
from .auditing.comparing import CodeAudit
from .auditing.foreign import SECONDS
from .auditing.golden import GoldenAudit, audit_answers_to_cases, is_answer
from .auditing.judge import audit as judge
from .auditing.judgement import Audit
from .auditing.theirs.judging import HandedIn, audit_code
from .auditing.theirs.reading import load as load_layout
from .auditing.theirs.reading import read as read_layout
from .auditing.theirs.records import Layout
from .derivation.chain import Derivation, Gradient
from .derivation.graph import Graph
from .document.catalogue import Entry, entries
from .document.charts import draw as draw_chart
from .document.charts import write as write_file
from .document.explained import explanation_html, overview_html
from .document.figures import draw_graph
from .document.notebook import formula
from .document.terminal.comparison import Comparison, compare
from .document.terminal.explain import explain_gradient, gradient_of
from .document.terminal.flow import REFERENCE, flow_chart, flow_text, write_figure
from .document.terminal.functions import list_functions
from .document.terminal.show import list_cells, show_derivation
from .errors import SpecError
from .language.functions import PUBLIC
from .language.names import IDENTIFIER
from .latexin.audit import TextAudit, judge_text, read_written
from .latexin.document import load as load_document
from .latexin.document import read as read_document
from .latexin.endings import is_text
from .numerics.fading import Fading
from .printed import WIDTH, Printed, as_html, counted, shortened
from .resources import find_audit
from .spec.cell import CellSpec

Cell = str | Path | CellSpec | Derivation
"""A cell: a path, the name of a packaged spec, a spec's text, or what `load` and `derive` return."""

Names = str | Path | Mapping[str, str]
"""What the symbols of a text mean: a mapping of LaTeX to names of the spec, or the path of one."""


class _Text(Printed):
    """A record with a text for a terminal. What a subclass gives is `text`."""

    def text(self, unicode: bool = True, width: int = WIDTH) -> str:
        """For a terminal of so many columns, with its colours. Without `unicode` it is plain ASCII."""
        raise NotImplementedError

    def styled(self) -> str:
        return self.text()


# ---------------------------------------------------------------- show, explain


@dataclass(frozen=True, repr=False)
class Overview(_Text):
    """A whole cell: its forward equations and its derived gradients."""

    derivation: Derivation

    def text(self, unicode: bool = True, width: int = WIDTH) -> str:
        return show_derivation(self.derivation, unicode, width)

    def _repr_html_(self) -> str:
        try:
            return overview_html(self.derivation)
        except SpecError:  # two names have one symbol in the cell's notation
            return super()._repr_html_()

    def _repr_latex_(self) -> str | None:
        return formula(self.derivation, self.derivation.graph)

    def __repr__(self) -> str:
        return f"<Overview of {self.derivation.graph.spec.name}>"


def show(cell: Cell) -> Overview:
    """The forward equations of a cell and its derived gradients."""
    return Overview(_derivation(cell))


@dataclass(frozen=True, repr=False)
class Explanation(_Text):
    """The gradient at one value, with a reason for each contribution."""

    derivation: Derivation
    gradient: Gradient

    def text(self, unicode: bool = True, width: int = WIDTH) -> str:
        return explain_gradient(self.derivation, self.gradient.value, unicode, width)

    def _repr_html_(self) -> str:
        try:
            return explanation_html(self.derivation, self.gradient)
        except SpecError:  # two names have one symbol in the cell's notation
            return super()._repr_html_()

    def _repr_latex_(self) -> str | None:
        return formula(self.gradient, self.derivation.graph)

    def __repr__(self) -> str:
        many = counted(len(self.gradient.forks), "contribution")
        return shortened(f"<Explanation of d_{self.gradient.value} in {self.derivation.graph.spec.name}: {many}>")


def explain(cell: Cell, name: str) -> Explanation:
    """The gradient at a value, contribution by contribution. Raises a `LookupError` if the cell has no such value."""
    derivation = _derivation(cell)
    return Explanation(derivation, gradient_of(derivation, name))


# ---------------------------------------------------------------- diff, flow


def diff(first: Cell, second: Cell) -> Comparison:
    """What is different in the derivatives of two cells: stages, contributions, parameters."""
    return compare(_derivation(first), _derivation(second))


@dataclass(frozen=True, repr=False)
class Flow(_Text):
    """How the gradients of some cells vanish or explode. The simple RNN is always among them."""

    cells: tuple[tuple[Derivation, Fading], ...]

    @property
    def fadings(self) -> tuple[Fading, ...]:
        """What was measured, in numbers: one record for each cell."""
        return tuple(fading for _, fading in self.cells)

    def text(self, unicode: bool = True, width: int = WIDTH) -> str:
        return flow_text(self.cells, unicode, width)

    def write(self, path: str | Path, force: bool = False) -> None:
        """Draw the figure into a file: .svg, .pdf or .png. `force` overwrites a file that is not a figure of lstmgen.

        Raises `ValueError` for another ending, and `OutputError` if the file cannot or must not be written.
        """
        write_figure(Path(path), self.fadings, force)

    def csv(self) -> str:
        """What was measured as CSV: cell, state, path (all or direct), lag, norm."""
        rows = [["cell", "state", "path", "lag", "norm"]]
        for fading in self.fadings:
            for curve in fading.curves:
                for path, norms in (("all", curve.every), ("direct", curve.direct or ())):
                    rows += [[fading.name, curve.state, path, str(lag), repr(norm)] for lag, norm in enumerate(norms)]
        return "".join(",".join(row) + "\n" for row in rows)

    def _repr_html_(self) -> str:
        text = as_html(self.styled())
        if not any(fading.curves for fading in self.fadings):
            return text
        figure = b64encode(draw_chart(flow_chart(self.fadings), "svg")).decode("ascii")
        return f'{text}<img alt="The norms over the lag" src="data:image/svg+xml;base64,{figure}">'

    def __repr__(self) -> str:
        return shortened(f"<Flow of {', '.join(fading.name for fading in self.fadings)}>")


def flow(
    *cells: Cell, sizes: Mapping[str, int] | None = None, params: Mapping[str, np.ndarray] | None = None
) -> Flow:
    """How the gradient of each cell vanishes or explodes: the norm of a state's derivative over the lag.

    Along all paths and along the direct path only, beside a simple RNN. `sizes` sets sizes, by symbol or keyword, of every
    cell that has them. With `params`, arrays under the keys of `init_params` or under the spec's names, one cell is
    measured with these. Raises `ValueError` if sizes or parameters do not fit.
    """
    if not cells:
        raise TypeError("flow() needs a cell: a path, the name of a packaged spec, or what load() or derive() returns")
    if params is not None and len(cells) > 1:
        raise ValueError("parameters belong to one cell: give one cell with them")
    derivations = [_derivation(cell) for cell in cells]
    known = [{name for dim in derivation.graph.dims for name in dim} for derivation in derivations]
    for name in sizes or {}:
        if not any(name in names for names in known):
            raise ValueError(f"there is no size '{name}' in {', '.join(each.graph.spec.name for each in derivations)}")
    measured = [
        pipeline.measure(derivation, {name: size for name, size in (sizes or {}).items() if name in names}, params)
        for derivation, names in zip(derivations, known)
    ]
    if REFERENCE not in [fading.name for _, fading in measured]:
        measured.append(pipeline.measure(REFERENCE))
    return Flow(tuple(measured))


@dataclass(frozen=True, repr=False)
class Picture:
    """The graph of one step. It shows in a notebook."""

    derivation: Derivation
    notation: str | None  # in place of the spec's own

    def write(self, path: str | Path, force: bool = False) -> None:
        """Draw it into a file: .svg, or .pdf and .png by way of TeX. `force` overwrites a file that is not a figure of
        lstmgen.

        Raises `ValueError` for another ending and for a cell that is too large, `TexError` or `NoPicture` if something is
        missing that the format needs, and `OutputError` if the file cannot or must not be written.
        """
        path = Path(path)
        write_file(path, draw_graph(self.derivation, path.suffix[1:].lower(), self.notation), force)

    def _repr_svg_(self) -> str:
        return draw_graph(self.derivation, "svg", self.notation).decode("utf-8")

    def __repr__(self) -> str:
        return f"<Picture of {self.derivation.graph.spec.name}>"


def draw(cell: Cell, notation: str | None = None) -> Picture:
    """The graph of one step of a cell: what reads what, with forks in colours."""
    return Picture(_derivation(cell), notation)


# ---------------------------------------------------------------- audit


@overload
def audit(claims: str | Path) -> Audit | TextAudit: ...


@overload
def audit(
    claims: str | Path, *, spec: Cell, notation: str | None = None, names: Names | None = None, inline: bool = False
) -> TextAudit: ...


@overload
def audit(
    claims: Cell, *, code: str | Path, layout: str | Path | None = None, python: str | None = None,
    seconds: float = SECONDS,
) -> HandedIn: ...


@overload
def audit(claims: Cell, *, module: str, seconds: float = SECONDS) -> CodeAudit: ...


@overload
def audit(claims: Cell, *, arrays: str | Path) -> CodeAudit | GoldenAudit: ...


def audit(
    claims: Cell, *, spec: Cell | None = None, notation: str | None = None, names: Names | None = None,
    inline: bool = False, code: str | Path | None = None, layout: str | Path | None = None, python: str | None = None,
    module: str | None = None, arrays: str | Path | None = None, seconds: float = SECONDS,
) -> Audit | TextAudit | HandedIn | CodeAudit | GoldenAudit:
    """Compare a derivation by hand, or code, or its numbers, with the true gradients.

    `claims` is the path, the packaged name or the text of a file of claims; or the path or the text of LaTeX or Markdown,
    read for the cell `spec` or for that which its first comment names. `names` is a mapping of LaTeX to names of the spec,
    or the path of one. With `code`, `module` or `arrays`, `claims` is a cell. `code` is a file as somebody wrote it,
    `layout` the path or the text of its layout, `python` the interpreter that has what it imports. `module` is
    "FILE.py:FUNCTION". Both are run in a process of their own, for at most so many seconds. `arrays` is an .npz file.
    Raises `SpecError` if claims, a text or a layout cannot be read, and `ForeignError` if code or numbers cannot be compared.
    """
    if sum(given is not None for given in (code, module, arrays)) > 1:
        raise TypeError("audit() takes one of code=, module= and arrays=")
    if (layout is not None or python is not None) and code is None:
        raise TypeError("layout= and python= belong to code=")
    of_text = spec is not None or notation is not None or names is not None or inline
    if of_text and (code, module, arrays) != (None, None, None):
        raise TypeError("spec=, notation=, names= and inline= are for a text of LaTeX or Markdown")
    if code is not None:
        graph = _derivation(claims).graph
        return audit_code(graph, code, _layout(layout, graph), python or sys.executable, seconds)
    if module is not None:
        return audit_module(_derivation(claims).graph, *split_target(module), seconds)
    if arrays is not None:
        graph = _derivation(claims).graph
        return audit_answers_to_cases(graph, arrays) if is_answer(arrays) else audit_arrays(graph, arrays)
    if not isinstance(claims, (str, Path)):
        raise TypeError("audit() of a cell needs code=, module= or arrays=; without them it takes claims or a text")
    if not of_text and not _is_text(claims):
        return judge(_read_claims(claims))
    graph_of_text = None if spec is None else _derivation(spec).graph
    written = isinstance(claims, str) and "\n" in claims
    document = read_document(str(claims)) if written else load_document(claims)
    folder = Path() if written else Path(claims).parent
    return judge_text(read_written(document, graph_of_text, notation, names, inline, folder=folder))


def _is_text(claims: str | Path) -> bool:
    """Whether these are no claims but LaTeX or Markdown: by the file's ending, or by a first comment of theirs."""
    if isinstance(claims, str) and "\n" in claims:
        return claims.lstrip().startswith(("%", "<!--"))
    return is_text(claims)


def _layout(layout: str | Path | None, graph: Graph) -> Layout | None:
    if layout is None:
        return None
    if isinstance(layout, str) and "\n" in layout:
        return read_layout(layout, graph)
    return load_layout(layout, graph)


def _read_claims(claims: str | Path) -> _claims.Claims:
    if isinstance(claims, Path):
        return _claims.load(claims)
    if "\n" in claims:
        return _claims.read(claims)
    if IDENTIFIER.match(claims) and not Path(claims).exists():
        packaged = find_audit(claims)
        if packaged is None:
            raise FileNotFoundError(ENOENT, "no such file, and no packaged file of claims of that name", claims)
        return _claims.load(packaged)
    return _claims.load(claims)


# ---------------------------------------------------------------- cells, functions


@dataclass(frozen=True, repr=False)
class Cells(_Text):
    """The cells that come with lstmgen, by group and name."""

    entries: tuple[Entry, ...]

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __getitem__(self, name: str) -> Entry:
        """The cell of a name."""
        return {entry.name: entry for entry in self.entries}[name]

    def __contains__(self, name: object) -> bool:
        return any(entry.name == name for entry in self.entries)

    def text(self, unicode: bool = True, width: int = WIDTH) -> str:
        return list_cells(self.entries, unicode, width)

    def __repr__(self) -> str:
        return f"<Cells: {len(self)}, from {self.entries[0].name} to {self.entries[-1].name}>"


def cells() -> Cells:
    """The cells that come with lstmgen: name, title, who confirmed it."""
    return Cells(entries())


@dataclass(frozen=True, repr=False)
class Functions(_Text):
    """The functions of the expression language."""

    names: tuple[str, ...]

    def text(self, unicode: bool = True, width: int = WIDTH) -> str:
        return list_functions(width)  # all of it is ASCII

    def __repr__(self) -> str:
        return f"<Functions: {len(self.names)}, from {self.names[0]} to {self.names[-1]}>"


def functions() -> Functions:
    """The functions of the expression language, with their derivatives."""
    return Functions(PUBLIC)


def _derivation(cell: Cell) -> Derivation:
    if isinstance(cell, Derivation):
        return cell
    return pipeline.derive(cell if isinstance(cell, CellSpec) else pipeline.load(cell))
