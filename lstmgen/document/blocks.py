"""The parts of a document: sections of blocks, as frozen records. The template lays them out and adds nothing.

Sentences are texts with the marks of inline.py. Formulas are in the mathematics of LaTeX.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..printed import Brief


@dataclass(frozen=True)
class Row:
    """One line of a display: left-hand side, right-hand side, the note beside it, its number."""

    left: str
    right: str
    note: str = ""
    number: int | None = None


@dataclass(frozen=True, repr=False)
class Display(Brief):
    """Formulas in rows, each with its number."""

    rows: tuple[Row, ...]
    small: bool = False
    kind: str = "display"


@dataclass(frozen=True)
class Formula:
    """A displayed formula without a number: a rule for every cell."""

    text: str
    kind: str = "formula"


@dataclass(frozen=True)
class Prose:
    """A paragraph."""

    text: str
    kind: str = "prose"


@dataclass(frozen=True)
class Heading:
    """A title within a section."""

    text: str
    bookmark: str  # the same without formulas
    kind: str = "heading"


@dataclass(frozen=True)
class Remark:
    """A boxed paragraph with a coloured rule beside it."""

    title: str
    text: str
    colour: str
    kind: str = "remark"


@dataclass(frozen=True, repr=False)
class Table(Brief):
    """A table with its caption."""

    caption: str
    columns: tuple[str | float, ...]  # "l" or "r", or the width of a paragraph in points
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    loose: bool = False  # with additional space between the rows, for fractions
    small: bool = False
    tight: bool = False  # with less space between the rows than others have
    kind: str = "table"


@dataclass(frozen=True)
class Listing:
    """Lines of a program."""

    text: str  # of ASCII characters, without a line feed at its end
    kind: str = "listing"


@dataclass(frozen=True)
class Drawn:
    """A picture and its scale."""

    tikz: str
    scale: str


@dataclass(frozen=True)
class Picture:
    """A figure with a caption, in one row or several. One row may go to where there is room for it."""

    rows: tuple[Drawn, ...]
    caption: str
    label: str
    legend: str = ""
    kind: str = "picture"


@dataclass(frozen=True, repr=False)
class Gathered(Brief):
    """Small equations side by side, in as many lines as they take."""

    lines: tuple[tuple[str, ...], ...]
    small: bool = False
    kind: str = "gathered"


@dataclass(frozen=True, repr=False)
class Columns(Brief):
    """Numbered equations in columns, line by line; the last line may be shorter."""

    lines: tuple[tuple[Row, ...], ...]
    small: bool = False
    kind: str = "columns"


@dataclass(frozen=True, repr=False)
class Box(Brief):
    """A box with a title and a list."""

    title: str
    items: tuple[str, ...]
    colour: str
    kind: str = "box"


Block = Display | Formula | Prose | Heading | Remark | Table | Listing | Picture | Gathered | Columns | Box


@dataclass(frozen=True, repr=False)
class Section(Brief):
    """A numbered section, which others can point to."""

    title: str
    label: str
    blocks: tuple[Block, ...]

    @property
    def opens_a_table(self) -> bool:
        """Whether a paragraph and a table after it are at its beginning."""
        return [block.kind for block in self.blocks[:2]] == ["prose", "table"]


@dataclass(frozen=True, repr=False)
class Document(Brief):
    """Everything that the template needs."""

    title: str
    name: str  # of the cell
    authors: tuple[str, ...]  # where the cell was published, and by whom
    keywords: str
    version: str
    opening: tuple[Block, ...]
    sections: tuple[Section, ...]
    colours: tuple[tuple[int, str], ...]  # number and RGB of each fork colour
    text_commands: str  # commands for escaped text, for the preamble
    figures: str  # commands for drawings, for the preamble
