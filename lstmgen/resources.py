"""Where the templates and the specs that come with lstmgen lie.

In a checkout `templates/` and `specs/` stand beside the package, at the top of the repository; in a
wheel they are inside it. What decides is whether our `pyproject.toml` lies beside the package. Looking
inside first and beside otherwise would not do: beside an installed package is `site-packages`, where a
`templates` folder is a stranger's. (`importlib.resources` looks inside alone, and fails in a checkout
that was installed as editable.)
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _home(package: Path) -> Path:
    """The folder that holds `templates` and `specs`: the checkout's, else the package itself."""
    return package.parent if _is_checkout(package.parent) else package


def _is_checkout(folder: Path) -> bool:
    """Is this lstmgen's repository? Some wheels drop a `pyproject.toml` of their own in `site-packages`."""
    try:
        return 'name = "lstmgen"' in (folder / "pyproject.toml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


TEMPLATES = _home(_PACKAGE) / "templates"
SPECS = _home(_PACKAGE) / "specs"


def packaged_specs() -> tuple[Path, ...]:
    """The specs that come with lstmgen, by name."""
    return tuple(sorted(SPECS.glob("*.yaml"), key=lambda path: path.stem))


def find_spec(name: str) -> Path | None:
    """The packaged spec of a bare name, `peephole_lstm` or `peephole_lstm.yaml`; None if there is none."""
    stem = name.removesuffix(".yaml")
    return next((path for path in packaged_specs() if path.stem == stem), None)
