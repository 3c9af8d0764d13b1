"""C as a target: NAME.c, NAME.h, NAME_test.c, NAME_c.py."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from ...schedule.lowering import make_program
from ...schedule.make import make_schedule
from ...schedule.records import Schedule
from ..targets import CannotRun, Target, import_file
from .loader import loader_source
from .module import c_header, c_source
from .testing import c_test


def texts(
    schedule: Schedule, reference: ModuleType, verified: bool, checkpoint: int | None = None
) -> dict[str, str]:
    """Every file's text, by its name."""
    program = make_program(make_schedule(schedule.derivation, joint=False))
    name = schedule.graph.spec.name
    return {
        f"{name}.c": c_source(program, verified),
        f"{name}.h": c_header(program, verified, checkpoint),
        f"{name}_test.c": c_test(program, verified),
        f"{name}_c.py": loader_source(schedule, verified),
    }


def load(folder: Path, name: str) -> ModuleType:
    """The loader, which compiles the C and has the interface of the NumPy module."""
    try:
        return import_file(folder / f"{name}_c.py")
    except ImportError as error:
        raise CannotRun(str(error)) from None


TARGET = Target(texts, load)
