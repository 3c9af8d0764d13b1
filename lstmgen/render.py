"""Templates filled in: text out of a context, and nothing else."""

from __future__ import annotations

from functools import lru_cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .resources import TEMPLATES


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Templates of Python modules. A name that the context lacks is an error."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def render(template: str, context: dict[str, object]) -> str:
    """The text of a template under `templates/`."""
    return environment().get_template(template).render(context)


def template_text(name: str) -> str:
    """A file under `templates/` as it is."""
    return (TEMPLATES / name).read_text(encoding="utf-8")
