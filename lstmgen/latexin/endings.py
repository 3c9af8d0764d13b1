"""Which files are texts with formulas, by their endings."""

from __future__ import annotations

from pathlib import Path

ENDINGS = (".tex", ".ltx", ".latex", ".md", ".markdown", ".rst", ".txt", ".ipynb")


def is_text(path: str | Path) -> bool:
    """Whether a file's ending says that it is a text with formulas."""
    return Path(path).suffix.lower() in ENDINGS
