"""From a plan to the text of its LaTeX document.

Every sentence is made for the cell at hand, and every equation is printed from the derivation's own
records: the pages_*.py decide what is said, and this file in which order. The result is frozen data,
sections of blocks; the template lays them out and adds nothing.
"""

from __future__ import annotations

from functools import lru_cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from . import __version__
from .blocks import Document
from .notation import Notation
from .pages_backward import (
    backward_section, inputs_section, parameters_section, stacked_section, still_section,
)
from .pages_end import Proofs, module_section, proofs_section
from .pages_forward import forward_section, notation_section, opening
from .pages_rules import derivatives_section, rule_section
from .pages_time import boundary_section
from .pen import COLOURS, Pen
from .plan import Plan
from .resources import TEMPLATES
from .spell_latex import escape
from .wording import code


def render_document(plan: Plan, notation: Notation, proofs: Proofs | None, module_name: str) -> str:
    """The document of a cell. `proofs` is None where nothing was proved."""
    document = make_document(plan, notation, proofs, module_name)
    return _environment().get_template("derivation.tex.jinja").render(document=document)


def make_document(plan: Plan, notation: Notation, proofs: Proofs | None, module_name: str) -> Document:
    """What the document says."""
    pen = Pen(plan, notation)
    body = [
        forward_section(pen), rule_section(pen), derivatives_section(pen), backward_section(pen),
        boundary_section(pen), inputs_section(pen), parameters_section(pen), still_section(pen),
        stacked_section(pen),
    ]
    sections = [section for section in body if section is not None]
    sections.insert(0, notation_section(pen))  # explains what the others use
    sections += [module_section(module_name), proofs_section(pen, proofs)]
    return Document(
        title=escape(pen.spec.title), name=code(pen.spec.name), version=escape(__version__),
        opening=opening(pen), sections=tuple(sections),
        colours=tuple(enumerate(COLOURS[: len(pen.colours)], 1)),
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES / "latex"), undefined=StrictUndefined, autoescape=False,
        variable_start_string="<<", variable_end_string=">>", block_start_string="<%", block_end_string="%>",
        comment_start_string="<#", comment_end_string="#>",
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )
