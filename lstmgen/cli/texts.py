"""Texts of LaTeX and Markdown on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .failures import Refused
from .shared import existing

if TYPE_CHECKING:
    from ..latexin.audit import TextAudit


def read_text(path: str, spec: str | None, notation: str | None, names: str | None, inline: bool) -> TextAudit:
    """The audit of a text."""
    from ..latexin.audit import audit_text

    for each in filter(None, (path, names)):
        if not Path(each).is_file():
            raise Refused(f"there is no file '{each}'")
    return audit_text(path, existing(spec) if spec else None, notation, names, inline)


def drafted(name: str, path: str) -> str:
    """A spec from the forward equations of a text."""
    from ..latexin.draft import draft

    if not Path(path).is_file():
        raise Refused(f"there is no file '{path}'")
    return draft(name, path).text
