"""Curves over a logarithmic axis, drawn as SVG, PDF, PNG or TikZ. Knows nothing of recurrent cells.

A chart is first laid out as lines and texts; a few lines of code then write them in each format. SVG and PDF are text
formats, so a figure needs no plotting library and no TeX; the PDF uses Helvetica, which every reader has. A PNG needs more,
because its letters must be drawn: pdftoppm or Ghostscript makes it from the PDF.

Each file has a checksum of itself, so that a figure that somebody edited can be recognised.
"""

from __future__ import annotations

import hashlib
import math
import re
import shutil
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from ..files import OutputError, write_outputs

FORMATS = ("png", "svg", "pdf")
COLOURS = (
    "C4481A", "1C6E8C", "7A3E9D", "3F7D20", "A3264F", "2F4FA8", "8A6100", "00766C", "B0337A", "5B6B1E",
    "4A4A8A", "7A4B2A",
)
GREY, INK, GRID = "8C8C8C", "222222", "E4E4E4"
DOTS = 200  # of a PNG, per inch
INSTALL = "install poppler-utils (pdftoppm) or Ghostscript, or write an .svg or a .pdf, which need nothing"

_WIDTH, _LEFT, _TOP, _PLOT_WIDTH, _PLOT_HEIGHT = 468.0, 46.0, 50.0, 286.0, 196.0
_SIZE, _ROW = 8.5, 14.0  # of letters, and between rows of the key


class NoPicture(Exception):
    """A PNG cannot be made on this machine."""


@dataclass(frozen=True)
class Series:
    """One curve: its values at 0, 1, 2, ..."""

    label: str  # in the key; that of the curve before, where it is empty
    values: Sequence[float]
    colour: str  # RGB
    dashed: bool = False


@dataclass(frozen=True)
class Chart:
    title: str
    axis: str  # what runs along the horizontal axis
    note: str  # below the title
    series: tuple[Series, ...]
    kinds: tuple[str, str] = ("", "")  # what solid and dashed curves are
    floor: float = 1e-12  # nothing is drawn below


@dataclass(frozen=True)
class Stroke:
    """A line through points; y grows downwards, lengths are points of a 72nd inch."""

    points: tuple[tuple[float, float], ...]
    colour: str
    width: float = 0.6
    dashed: bool = False


@dataclass(frozen=True)
class Label:
    text: str
    x: float
    y: float  # of the base line
    anchor: str = "start"  # or middle, or end
    size: float = _SIZE
    colour: str = INK


@dataclass(frozen=True)
class Layout:
    width: float
    height: float
    items: tuple[Stroke | Label, ...]  # later items are on top


# ---------------------------------------------------------------- layout


def lay_out(chart: Chart) -> Layout:
    """Where everything is."""
    last = max((len(series.values) for series in chart.series), default=2) - 1
    every = [value for series in chart.series for value in series.values]
    found = [value for value in every if value > 0 and math.isfinite(value)]
    top = math.log10(max([1.0, *found])) + 0.1
    bottom = max(math.floor(math.log10(min([0.1, *found]))), round(math.log10(chart.floor)))
    scale = _Scale(last, bottom, top, _TOP if chart.title else 8.0)
    heads = [Label(chart.title, _LEFT, 18, size=11), Label(chart.note, _LEFT, 32, colour=GREY)]
    items: list[Stroke | Label] = [
        *(head for head in heads if head.text),
        *_grid(scale),
        Label(chart.axis, _LEFT + _PLOT_WIDTH / 2, scale.begin + _PLOT_HEIGHT + 30, "middle"),
    ]
    for series in reversed(chart.series):  # the first ones matter most
        pieces = scale.pieces(series.values)
        items += [Stroke(piece, series.colour, 1.3, series.dashed) for piece in pieces]
    key = _key(chart, scale.begin)
    rows = sum(isinstance(each, Label) for each in key)
    height = scale.begin + max(_PLOT_HEIGHT + 40, _ROW * rows + 20)
    return Layout(_WIDTH, height, (*items, *key))


@dataclass(frozen=True)
class _Scale:
    last: int  # to the right
    bottom: int  # a power of ten
    top: float
    begin: float  # where the plot begins

    def x(self, at: float) -> float:
        return _LEFT + _PLOT_WIDTH * at / max(self.last, 1)

    def y(self, power: float) -> float:
        return self.begin + _PLOT_HEIGHT * (self.top - power) / (self.top - self.bottom)

    def pieces(self, values: Sequence[float]) -> list[tuple[tuple[float, float], ...]]:
        """The curve, ended where it leaves the picture at the bottom."""
        pieces: list[list[tuple[float, float]]] = [[]]
        before = None
        for at, value in enumerate(values):
            power = math.log10(value) if value > 0 and math.isfinite(value) else -math.inf
            if before is not None and -math.inf < min(before, power) < self.bottom <= max(before, power):
                crossing = at - 1 + (self.bottom - before) / (power - before)
                pieces[-1].append((self.x(crossing), self.y(self.bottom)))
            if power >= self.bottom:
                pieces[-1].append((self.x(at), self.y(power)))
            elif pieces[-1]:
                pieces.append([])
            before = power
        return [tuple(piece) for piece in pieces if len(piece) > 1]


def _grid(scale: _Scale) -> list[Stroke | Label]:
    """Light lines at powers of ten and at round lags, with their numbers."""
    items: list[Stroke | Label] = []
    left, right, low = scale.x(0), scale.x(scale.last), scale.y(scale.bottom)
    stride = max(1, math.ceil((scale.top - scale.bottom) / 8))
    for power in range(math.floor(scale.top), scale.bottom - 1, -1):
        if power % stride == 0:
            items.append(Stroke(((left, scale.y(power)), (right, scale.y(power))), GRID))
            items.append(Label(_decade(power), left - 6, scale.y(power) + 3, "end"))
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**6) if scale.last <= 6 * step)
    for at in range(0, scale.last + 1, step):
        items.append(Stroke(((scale.x(at), low), (scale.x(at), low + 3)), INK))
        items.append(Label(str(at), scale.x(at), low + 14, "middle"))
    items.append(Stroke(((left, low), (right, low)), INK))
    return items


def _decade(power: int) -> str:
    return {0: "1", 1: "10", -1: "0.1", -2: "0.01"}.get(power, f"1e{power}")


def _key(chart: Chart, begin: float) -> list[Stroke | Label]:
    """Beside the plot: a name for each colour, then what a solid and a dashed curve are."""
    x, y = _LEFT + _PLOT_WIDTH + 18, begin + 10
    items: list[Stroke | Label] = []
    for series in chart.series:
        if series.label:
            items.append(Stroke(((x, y - 3), (x + 20, y - 3)), series.colour, 1.3))
            items.append(Label(series.label, x + 26, y))
            y += _ROW
    y += _ROW / 2
    for text, dashed in zip(chart.kinds, (False, True)):
        if text and any(series.dashed == dashed for series in chart.series):
            items.append(Stroke(((x, y - 3), (x + 20, y - 3)), GREY, 1.3, dashed))
            items.append(Label(text, x + 26, y, colour=GREY))
            y += _ROW
    return items


# ---------------------------------------------------------------- formats


def draw(chart: Chart, form: str) -> bytes:
    """A figure file in one of the formats."""
    layout = lay_out(chart)
    match form:
        case "svg":
            return _svg(layout)
        case "pdf":
            return _pdf(layout, chart.title)
        case "png":
            return png_of(_pdf(layout, chart.title))
    raise ValueError(f"no format: {form}")


def tikz(chart: Chart) -> str:
    """The same for a document, in its own font. Texts are TeX already."""
    layout = lay_out(chart)
    lines = [r"\begin{tikzpicture}[x=1bp,y=-1bp,line join=round,line cap=round,inner sep=0pt]"]
    for colour in dict.fromkeys(item.colour for item in layout.items):
        lines.append(rf"\definecolor{{chart{colour}}}{{HTML}}{{{colour}}}")
    for item in layout.items:
        if isinstance(item, Stroke):
            dash = ",dash pattern=on 3bp off 2.4bp" if item.dashed else ""
            points = " -- ".join(f"({x:.2f},{y:.2f})" for x, y in item.points)
            lines.append(rf"\draw[chart{item.colour},line width={item.width}bp{dash}] {points};")
        else:
            anchor = {"start": "base west", "middle": "base", "end": "base east"}[item.anchor]
            size = r"\small" if item.size > _SIZE else r"\footnotesize"
            text = re.sub(r"\A1e(-?\d+)\Z", r"$10^{\1}$", item.text)
            at = f"({item.x:.2f},{item.y:.2f})"
            lines.append(rf"\node[anchor={anchor},text=chart{item.colour},font={size}] at {at} {{{text}}};")
    return "\n".join([*lines, r"\end{tikzpicture}"])


def _svg(layout: Layout) -> bytes:
    width, height = layout.width, layout.height
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}pt" height="{height:g}pt" '
        f'viewBox="0 0 {width:g} {height:g}" font-family="Helvetica, Arial, sans-serif">',
        f'<rect width="{width:g}" height="{height:g}" fill="#FFFFFF"/>',
    ]
    for item in layout.items:
        if isinstance(item, Stroke):
            points = " ".join(f"{x:.2f},{y:.2f}" for x, y in item.points)
            dash = ' stroke-dasharray="3 2.4"' if item.dashed else ""
            lines.append(f'<polyline points="{points}" fill="none" stroke="#{item.colour}" '
                         f'stroke-width="{item.width:g}" stroke-linejoin="round"{dash}/>')
        else:
            lines.append(f'<text x="{item.x:.2f}" y="{item.y:.2f}" font-size="{item.size:g}" '
                         f'text-anchor="{item.anchor}" fill="#{item.colour}">{escape(item.text)}</text>')
    return sealed_svg("\n".join([*lines, "</svg>\n"]))


def _pdf(layout: Layout, title: str) -> bytes:
    """A PDF of one page: objects one after the other, and a table of where each begins."""
    # y grows downwards in a layout: the page is turned over, and each text turned back
    turned = f"1 0 0 -1 0 {layout.height:.2f} cm 1 j 1 J"
    operators = "\n".join([turned, *map(_operators, layout.items)])
    drawn = zlib.compress(operators.encode("cp1252", "replace"))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %.2f %.2f] /Contents 4 0 R "
        b"/Resources << /Font << /F 5 0 R >> >> >>" % (layout.width, layout.height),
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(drawn), drawn),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Title (%s) /Producer (lstmgen) >>" % _pdf_text(title).encode("cp1252", "replace"),
    ]
    made, places = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    start = len(made)
    made += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    made += b"".join(b"%010d 00000 n \n" % place for place in places)
    made += b"trailer\n<< /Size %d /Root 1 0 R /Info 6 0 R >>\n" % (len(objects) + 1)
    made += b"startxref\n%d\n" % start
    return sealed_pdf(made)


def _operators(item: Stroke | Label) -> str:
    red, green, blue = (int(item.colour[at : at + 2], 16) / 255 for at in (0, 2, 4))
    if isinstance(item, Stroke):
        (x, y), *others = item.points
        path = " ".join([f"{x:.2f} {y:.2f} m", *(f"{x:.2f} {y:.2f} l" for x, y in others)])
        dash = "[3 2.4] 0 d" if item.dashed else "[] 0 d"
        return f"{red:.3f} {green:.3f} {blue:.3f} RG {item.width:g} w {dash} {path} S"
    share = {"start": 0.0, "middle": 0.5, "end": 1.0}[item.anchor]
    x = item.x - share * _text_width(item.text) * item.size
    return (f"BT {red:.3f} {green:.3f} {blue:.3f} rg /F {item.size:g} Tf 1 0 0 -1 {x:.2f} {item.y:.2f} Tm "
            f"({_pdf_text(item.text)}) Tj ET")


def _pdf_text(text: str) -> str:
    return re.sub(r"([\\()])", r"\\\1", text)


# Widths of Helvetica's letters, from the blank on, in thousandths of its size.
_WIDTHS = (
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556,
    556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278,
    500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469,
    556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500,
    278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
)


def _text_width(text: str) -> float:
    codes = (ord(char) - 32 for char in text)
    return sum(_WIDTHS[code] if 0 <= code < len(_WIDTHS) else 556 for code in codes) / 1000


# ---------------------------------------------------------------- dots


def png_of(pdf: bytes) -> bytes:
    """The PDF as dots, with our seal put into the PNG before its end."""
    programs = (
        ("pdftoppm", ("-png", "-r", str(DOTS), "-singlefile", "figure.pdf", "figure")),
        ("gs", ("-q", "-dSAFER", "-dBATCH", "-dNOPAUSE", "-sDEVICE=png16m", f"-r{DOTS}", "-dTextAlphaBits=4",
                "-dGraphicsAlphaBits=4", "-sOutputFile=figure.png", "figure.pdf")),
    )
    for name, arguments in programs:
        program = shutil.which(name)
        if program:
            made = _converted(program, arguments, pdf)
            end = made.rindex(b"IEND") - 4
            text = b"Comment\0" + _seal(made[:end])
            chunk = struct.pack(">I", len(text)) + b"tEXt" + text
            return made[:end] + chunk + struct.pack(">I", zlib.crc32(b"tEXt" + text)) + made[end:]
    raise NoPicture(f"a .png needs a program that is not here: {INSTALL}")


def _converted(program: str, arguments: Sequence[str], pdf: bytes) -> bytes:
    """The PNG that a program makes from the PDF, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="lstmgen-") as folder:
        (Path(folder) / "figure.pdf").write_bytes(pdf)
        try:
            nothing = subprocess.DEVNULL
            subprocess.run([program, *arguments], cwd=folder, check=True, timeout=60, stdin=nothing,
                           stdout=nothing, stderr=nothing)
            return (Path(folder) / "figure.png").read_bytes()
        except (subprocess.SubprocessError, OSError) as error:
            why = f"{Path(program).name} made none ({type(error).__name__})"
            raise NoPicture(f"no .png, for {why}: {INSTALL}") from None


# ---------------------------------------------------------------- whose file it is

_SEAL = re.compile(rb"lstmgen figure sha256:([0-9a-f]{16})")


def _seal(content: bytes) -> bytes:
    return b"lstmgen figure sha256:" + hashlib.sha256(content).hexdigest()[:16].encode()


def sealed_svg(text: str) -> bytes:
    """An SVG with its seal."""
    body = text.encode("utf-8")
    return body + b"<!-- " + _seal(body) + b" -->\n"


def sealed_pdf(made: bytes) -> bytes:
    """A PDF with its seal at the end."""
    return made + b"% " + _seal(made) + b"\n%%EOF\n"


def write(path: Path, content: bytes, force: bool) -> None:
    """Write a figure; a file that is not a figure of ours stays as it is, unless `force` says otherwise."""
    if not force and path.is_file() and not path.is_symlink():
        old = path.read_bytes()
        if old != content and not is_ours(old):
            raise OutputError(path, "is not a figure of lstmgen, or was edited since; --force overwrites it")
    write_outputs(path.parent, {path.name: content}, force=True)


def is_ours(content: bytes) -> bool:
    """Whether a file is a figure of lstmgen that nobody has edited."""
    found = list(_SEAL.finditer(content))
    if not found:
        return False
    before = content[: found[-1].start()]
    opening = {b"<sv": b"<!-- ", b"%PD": b"% "}.get(content[:3])
    if opening is not None:
        return before.endswith(opening) and _seal(before[: -len(opening)]) == found[-1][0]
    chunk = len(b"Comment\0") + 8
    return content.startswith(b"\x89PNG") and _seal(before[:-chunk]) == found[-1][0]
