"""What several commands need: the file of a SPEC, the names of cells, what the terminal can show."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import click

from .failures import Refused

NOTATIONS = ("greff", "ng", "hats", "colah", "graves")  # those of spec/reader.py, which is not imported for --help


def existing(spec: str) -> Path:
    """The file that SPEC means: itself, or a packaged spec of that name."""
    from ..resources import find_spec, packaged_specs

    _refuse_other_kinds(spec, "a spec")
    return _file(spec, find_spec) or _refuse(spec, "spec", packaged_specs(), "'lstmgen list' lists them")


def existing_claims(claims: str) -> Path:
    """The file that CLAIMS means: itself, or a packaged file of claims of that name."""
    from ..resources import AUDITS, find_audit, find_spec, packaged_audits

    other = f"they are in {AUDITS}"
    if find_spec(claims):
        other = f"'{claims}' is a cell: --module or --arrays compare code or numbers with it"
    _refuse_other_kinds(claims, "a file of claims")
    return _file(claims, find_audit) or _refuse(claims, "file of claims", packaged_audits(), other)


_KINDS = {".py": "Python", ".ipynb": "a notebook", ".tex": "LaTeX", ".md": "Markdown", ".npz": "an archive of arrays",
          ".npy": "an array", ".pdf": "a PDF"}
_CURES = {".py": "lstmgen audit SPEC --module FILE.py:FUNCTION compares a function with a cell",
          ".npz": "lstmgen audit SPEC --arrays FILE.npz compares its numbers with a cell"}


def _refuse_other_kinds(given: str, wanted: str) -> None:
    """Refuse a file that its ending tells to be no YAML: what YAML makes of it would mislead."""
    from ..resources import DOCS

    ending = Path(given).suffix.lower()
    if ending in _KINDS and Path(given).is_file():
        cure = _CURES.get(ending, f"{DOCS / ('spec.md' if wanted == 'a spec' else 'audit.md')} tells how one is written")
        raise Refused(f"'{given}' is {_KINDS[ending]}, and {wanted} is a YAML file; {cure}")


def _file(given: str, find: Callable[[str], Path | None]) -> Path | None:
    """The file itself, or the packaged one of that name. Also a folder: reading it gives a better error."""
    path = Path(given)
    return path if path.is_file() else find(given) or (path if path.exists() else None)


def _refuse(given: str, kind: str, packaged: Sequence[Path], other: str) -> NoReturn:
    from ..language.names import did_you_mean

    beside = next((f"{given}{ending}" for ending in (".yaml", ".yml") if Path(f"{given}{ending}").is_file()), None)
    cure = f"did you mean '{beside}'?" if beside else did_you_mean(Path(given).stem, [known.stem for known in packaged])
    raise Refused(f"there is no file '{given}', and no packaged {kind} of that name; {cure or other}")


def names_of(paths: Sequence[Path], notation: str | None = None) -> list[str]:
    """The names of the cells. All mistakes of all specs are reported before anything is built."""
    from ..derivation.build import build_graph
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
            found.append(f"{path}: error: the cell is called '{name}', as is the cell of {names[name]}; "
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
    """The width of the terminal, from 60 to 100 columns; 100 without a terminal."""
    from shutil import get_terminal_size

    return min(max(get_terminal_size((100, 24)).columns, 60), 100)
