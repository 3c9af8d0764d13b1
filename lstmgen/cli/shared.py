"""What several commands ask: which file a SPEC is, what its cell is called, what the terminal can show."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from .failures import Refused


def existing(spec: str) -> Path:
    """The file that SPEC means: itself, or a packaged spec of that name."""
    from ..language.names import did_you_mean
    from ..resources import find_spec, packaged_specs

    path = Path(spec)
    if path.is_file():
        return path
    packaged = find_spec(spec)
    if packaged is not None:
        return packaged
    if path.exists():
        return path  # a folder, say: reading it tells what is wrong with it
    cure = did_you_mean(path.stem, [known.stem for known in packaged_specs()])
    raise Refused(f"there is no file '{spec}', and no packaged spec of that name" + (
        f"; {cure}" if cure else "; 'lstmgen list' lists them"))


def names_of(paths: Sequence[Path], notation: str | None = None) -> list[str]:
    """The cells' names. All mistakes of all specs are told before anything is built."""
    from ..derivation.graph import build_graph
    from ..document.notation import make_notation
    from ..errors import SpecError
    from ..spec.reader import load

    found: list[str] = []
    names: dict[str, Path] = {}
    for path in paths:
        try:
            graph = build_graph(load(path))
            make_notation(graph, notation)
        except SpecError as error:
            found.append(str(error))
            continue
        name = graph.spec.name
        if name in names:
            found.append(f"{path}: error: the cell is called '{name}', and so is that of {names[name]}; "
                         "rename one")
        names.setdefault(name, path)
    if found:
        click.echo("\n".join(found), err=True)
        sys.exit(2)
    return list(names)


def has_symbols() -> bool:
    """Whether the terminal can show symbols."""
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "")
    return encoding.startswith("utf")


def width() -> int:
    """Of the terminal, within what can be read; 100 where there is none."""
    from shutil import get_terminal_size

    return min(max(get_terminal_size((100, 24)).columns, 60), 100)
