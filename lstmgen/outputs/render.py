"""Templates filled in: text out of a context, and nothing else."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import lru_cache

import jinja2
from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket

from ..resources import TEMPLATES


class Compiled(FileSystemBytecodeCache):
    """Compiled templates, in `__pycache__` beside them, as Python keeps its modules: compiling is a tenth of a build.

    A template that has changed is compiled anew, and so is every one with another Python or Jinja. Where
    nothing can be written, nothing is kept.
    """

    def __init__(self) -> None:
        super().__init__(str(TEMPLATES / "__pycache__"), f"%s.jinja-{jinja2.__version__}")

    def load_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError):
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        if not sys.dont_write_bytecode:
            with suppress(OSError):
                (TEMPLATES / "__pycache__").mkdir(exist_ok=True)
                super().dump_bytecode(bucket)


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
        bytecode_cache=Compiled(),
    )


def render(template: str, context: dict[str, object]) -> str:
    """The text of a template under `templates/`."""
    return environment().get_template(template).render(context)


def template_text(name: str) -> str:
    """A file under `templates/` as it is."""
    return (TEMPLATES / name).read_text(encoding="utf-8")
