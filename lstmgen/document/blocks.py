"""The parts of a document: sections of blocks, as frozen records. The template lays them out and adds nothing."""

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
    rows: tuple[Row, ...]
    kind: str = "display"


@dataclass(frozen=True)
class Formula:
    """A displayed formula without a number: a rule for every cell."""

    text: str
    kind: str = "formula"


@dataclass(frozen=True)
class Prose:
    text: str
    kind: str = "prose"


@dataclass(frozen=True)
class Heading:
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
    caption: str
    columns: str  # of LaTeX's tabular
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    space: str = ""  # additional space between the rows
    small: bool = False
    kind: str = "table"


@dataclass(frozen=True)
class Listing:
    text: str  # of ASCII characters, without a line feed at its end
    kind: str = "listing"


@dataclass(frozen=True)
class Drawn:
    """A picture and its scale."""

    tikz: str
    scale: str


@dataclass(frozen=True)
class Picture:
    """A figure with a caption, in one row or several, that does not float."""

    rows: tuple[Drawn, ...]
    caption: str
    label: str
    legend: str = ""
    kind: str = "picture"


@dataclass(frozen=True, repr=False)
class Gathered(Brief):
    """Small equations side by side, in as many lines as they take."""

    lines: tuple[tuple[str, ...], ...]
    kind: str = "gathered"


Block = Display | Formula | Prose | Heading | Remark | Table | Listing | Picture | Gathered


@dataclass(frozen=True, repr=False)
class Section(Brief):
    title: str
    label: str
    blocks: tuple[Block, ...]

    @property
    def opens_a_table(self) -> bool:
        """Whether a paragraph introduces the table after it."""
        return [block.kind for block in self.blocks[:2]] == ["prose", "table"]


@dataclass(frozen=True, repr=False)
class Document(Brief):
    """Everything that the template needs."""

    title: str
    name: str  # of the cell, as TeX text
    version: str
    opening: tuple[Block, ...]
    sections: tuple[Section, ...]
    colours: tuple[tuple[int, str], ...]  # number and RGB of each fork colour
    text_commands: str  # commands for escaped text, for the preamble
    figures: str  # commands for drawings, for the preamble
