"""From a plan to the text of its LaTeX document.

Every sentence is written for the cell at hand, and every equation is printed from the records of the derivation. The
files in sections/ decide what is said, and this file decides the order. The result is frozen data, sections of blocks; the
template lays them out and adds nothing.
"""

from __future__ import annotations

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
from .blocks import Document
from .latex.escape import TEXT_COMMANDS, escape
from .latex.tikz import PREAMBLE
from .notation import Notation
from .pen import COLOURS, Pen
from .sections.backward import (
    backward_section, inputs_section, parameters_section, stacked_section, still_section,
)
from .sections.end import module_section, proofs_section
from .sections.fading import fading_section
from .sections.figures import graph_section
from .sections.forward import forward_section, notation_section, opening
from .sections.rules import derivatives_section, rule_section
from .sections.time import boundary_section
from .sections.unrolled import unrolled_section
from .sections.worked import worked_section
from .wording import code


@dataclass(frozen=True)
class Extras:
    """What a document shows besides the derivation; what is None is left out."""

    unroll: int | None = None  # the gradients written out over so many steps
    fading: Fading | None = None  # of this cell, measured
    plain: Fading | None = None  # of a simple RNN, to compare with
    worked: WorkedExample | None = None
    listing: str | None = None  # the module, without its checks of arguments


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
    body = [
        forward_section(pen), graph_section(pen), rule_section(pen), derivatives_section(pen),
        backward_section(pen), boundary_section(pen), inputs_section(pen), parameters_section(pen),
        still_section(pen), stacked_section(pen),
        unrolled_section(pen, extras.unroll) if extras.unroll else None,
        fading_section(pen, extras.fading, extras.plain), worked_section(pen, extras.worked),
    ]
    sections = [section for section in body if section is not None]
    sections.insert(0, notation_section(pen))  # explains what the others use
    if extras.listing is not None:
        sections.append(module_section(module_name, extras.listing))
    sections.append(proofs_section(pen, proofs))
    return Document(
        title=escape(pen.spec.title), name=code(pen.spec.name), version=escape(__version__),
        opening=opening(pen), sections=tuple(sections),
        colours=tuple(enumerate(COLOURS[: len(pen.colours)], 1)), text_commands=TEXT_COMMANDS,
        figures=PREAMBLE.rstrip(),
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES / "latex"), undefined=StrictUndefined, autoescape=False,
        variable_start_string="<<", variable_end_string=">>", block_start_string="<%", block_end_string="%>",
        comment_start_string="<#", comment_end_string="#>",
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, bytecode_cache=Compiled(),
    )
