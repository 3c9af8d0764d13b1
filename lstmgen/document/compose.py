"""From a plan to the text of its LaTeX document.

Every sentence is written for the cell at hand, and every equation is printed from the records of the derivation. The
files in sections/ decide what is said, and this file decides the order. The result is frozen data, sections of blocks; the
template lays them out and adds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .. import __version__
from ..numerics.fading import Fading
from ..numerics.worked import WorkedExample
from ..outputs.render import Compiled
from ..proofs.verdict import Verdict
from ..resources import TEMPLATES
from ..schedule.plan import Plan
from .blocks import Document, Prose, Section
from .inline import code, link, math, spoken, strong
from .latex.escape import TEXT_COMMANDS
from .latex.text import set_columns, set_text
from .latex.tikz import PREAMBLE
from .notation import Notation
from .pen import COLOURS, Pen
from .sections.backward import backward_section, parameters_section, still_section
from .sections.card import card_section
from .sections.end import listing_section, proofs_section
from .sections.fading import fading_section
from .sections.figures import graph_section
from .sections.forward import forward_section, notation_section, opening
from .sections.paths import paths_section
from .sections.rules import derivatives_section, rule_section
from .sections.stacked import stacked_section
from .sections.time import boundary_section
from .sections.unrolled import unrolled_section
from .sections.worked import worked_section

SECTIONS = (
    "card", "notation", "forward", "graph", "rule", "derivatives", "backward", "boundary", "parameters", "still",
    "stacked", "unrolled", "fading", "paths", "worked", "proofs", "listing",
)
"""All sections, in their order."""
ON_DEMAND = frozenset({"unrolled", "paths"})
NEEDED = frozenset({"card", "notation", "forward", "backward", "parameters", "still", "rule", "derivatives"})
"""Sections that others point to; they cannot be left out."""
DOT = r"\cdot"
UNROLLED = 3  # steps, where that section is asked for and the number is not


@dataclass(frozen=True)
class Extras:
    """What a document shows besides the derivation; what is None is left out."""

    unroll: int | None = None  # the gradients written out over so many steps
    fading: Fading | None = None  # of this cell, measured
    plain: Fading | None = None  # of a simple RNN, to compare with
    worked: WorkedExample | None = None
    listing: str | None = None  # the two loops of the module
    sections: frozenset[str] = frozenset(SECTIONS) - ON_DEMAND  # those that are there, if the cell has something for them


def chosen_sections(texts: Sequence[str]) -> frozenset[str]:
    """The sections of a document: `paths` adds a section to the usual ones, `no-listing` leaves one out.

    Raises ValueError with the sections that there are.
    """
    chosen = set(SECTIONS) - ON_DEMAND
    for text in texts:
        name = text.removeprefix("no-")
        if name not in SECTIONS:
            raise ValueError(f"there is no section '{name}': there are {', '.join(SECTIONS)}")
        if text != name and name in NEEDED:
            raise ValueError(f"other sections point to '{name}', so it cannot be left out; "
                             f"{', '.join(each for each in SECTIONS if each not in NEEDED)} can")
        (chosen.discard if text != name else chosen.add)(name)
    return frozenset(chosen)


def render_document(
    plan: Plan, notation: Notation, proofs: Verdict | None, module_name: str, extras: Extras | None = None
) -> str:
    """The document of a cell. `proofs` is None if nothing was proved."""
    document = make_document(plan, notation, proofs, module_name, extras or Extras())
    return _environment().get_template("derivation.tex.jinja").render(document=document)


def make_document(
    plan: Plan, notation: Notation, proofs: Verdict | None, module_name: str, extras: Extras
) -> Document:
    """What the document says."""
    pen = Pen(plan, notation)
    unroll = extras.unroll or (UNROLLED if "unrolled" in extras.sections else None)
    makers: dict[str, Callable[[], Section | None]] = {
        "card": lambda: card_section(pen),
        "forward": lambda: forward_section(pen),
        "graph": lambda: graph_section(pen),
        "rule": lambda: rule_section(pen),
        "derivatives": lambda: derivatives_section(pen),
        "backward": lambda: backward_section(pen),
        "boundary": lambda: boundary_section(pen),
        "parameters": lambda: parameters_section(pen),
        "still": lambda: still_section(pen),
        "stacked": lambda: stacked_section(pen),
        "unrolled": lambda: unrolled_section(pen, unroll) if unroll else None,
        "fading": lambda: fading_section(pen, extras.fading, extras.plain),
        "paths": lambda: paths_section(pen),
        "worked": lambda: worked_section(pen, extras.worked),
        "proofs": lambda: proofs_section(pen, proofs),
        "listing": lambda: listing_section(module_name, extras.listing) if extras.listing is not None else None,
        "notation": lambda: notation_section(pen),  # made last: it explains what the others use
    }
    wanted = extras.sections | ({"unrolled"} if extras.unroll else set())
    made = {name: section for name, make in makers.items() if name in wanted and (section := make()) is not None}
    sections = tuple(made[name] for name in SECTIONS if name in made)
    return Document(
        title=spoken(pen.spec.title), name=code(pen.spec.name), authors=tuple(map(spoken, pen.spec.references)),
        version=__version__, keywords=f"backpropagation through time, recurrent neural network, {spoken(pen.spec.title)}",
        opening=(*opening(pen), Prose(_contents(sections))), sections=sections,
        colours=tuple(enumerate(COLOURS[: len(pen.colours)], 1)), text_commands=TEXT_COMMANDS,
        figures=PREAMBLE.rstrip(),
    )


def _contents(sections: tuple[Section, ...]) -> str:
    """The sections, with links, in a paragraph."""
    told = [link(section.label, f"{number} {section.title}") for number, section in enumerate(sections, 1)]
    between = f" {math(DOT)} "
    return f"{strong('Contents.')} {between.join(told)}"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES / "latex"), undefined=StrictUndefined, autoescape=False,
        variable_start_string="<<", variable_end_string=">>", block_start_string="<%", block_end_string="%>",
        comment_start_string="<#", comment_end_string="#>",
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, bytecode_cache=Compiled(),
    )
    environment.filters |= {"text": set_text, "columns": set_columns}
    return environment
