"""Where to find the files that come with lstmgen: templates, specs, audits, docs, and who confirmed which cell.

In a checkout, their folders are beside the package, at the top of the repository. In a wheel they are inside the package,
and `tests/references/index.json` is in `references/`. It is a checkout if our own `pyproject.toml` is beside the package.
(Looking inside first and beside it otherwise would be wrong: beside an installed package is `site-packages`, where a
`templates` folder belongs to another package. And `importlib.resources` looks only inside, so it fails in a checkout that
was installed as editable.)
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _home(package: Path) -> Path:
    """The folder of `templates`, `specs` and the others: the top of the checkout, else the package itself."""
    return package.parent if _is_checkout(package.parent) else package


def _references(package: Path) -> Path:
    """The folder of the record of who confirmed which cell."""
    home = _home(package)
    return home / "references" if home == package else home / "tests" / "references"


def _is_checkout(folder: Path) -> bool:
    """Whether this is lstmgen's repository. (Some wheels leave a `pyproject.toml` of their own in `site-packages`.)"""
    try:
        return 'name = "lstmgen"' in (folder / "pyproject.toml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


TEMPLATES = _home(_PACKAGE) / "templates"
SPECS = _home(_PACKAGE) / "specs"
AUDITS = _home(_PACKAGE) / "audits"
DOCS = _home(_PACKAGE) / "docs"
CONFIRMED = _references(_PACKAGE) / "index.json"


def packaged_specs() -> tuple[Path, ...]:
    """The specs that come with lstmgen, by name."""
    return _files(SPECS)


def packaged_audits() -> tuple[Path, ...]:
    """The files of claims that come with lstmgen, by name."""
    return _files(AUDITS)


def find_spec(name: str) -> Path | None:
    """The packaged spec of a bare name, `peephole_lstm` or `peephole_lstm.yaml`; None if there is none."""
    return _find(name, packaged_specs())


def find_audit(name: str) -> Path | None:
    """The packaged file of claims of a bare name, `notes_hats` or `notes_hats.yaml`; None if there is none."""
    return _find(name, packaged_audits())


def _files(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(folder.glob("*.yaml"), key=lambda path: path.stem))


def _find(name: str, files: tuple[Path, ...]) -> Path | None:
    stem = name.removesuffix(".yaml")
    return next((path for path in files if path.stem == stem), None)
