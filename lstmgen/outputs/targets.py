"""The targets: what a cell can be handed out as. A new one is a folder beside this file, and a line in `TARGETS`.

A target that is no `numpy` gives three things: the texts of its files; why they cannot be run here, if they cannot; and,
of files that lie in a folder, something with the interface of the NumPy module, for the proofs to drive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from ..schedule.records import Schedule

NUMPY, C, TORCH, JAX = "numpy", "c", "torch", "jax"


class CannotRun(Exception):
    """Why the files of a target cannot be run on this machine: a sentence for the user."""


@dataclass(frozen=True)
class Target:
    """`texts(schedule, reference, verified, checkpoint)`: every file's text by its name.

    `reference` is the cell's NumPy module; `checkpoint` is every how many steps the tape keeps a state, None for all. A
    target without a tape of its own has no use for it.

    `load(folder, name)`: the files of cell `name` in a folder as a module to drive; raises `CannotRun`.

    `uses`: another target, whose files it computes with where they lie beside its own.
    """

    texts: Callable[[Schedule, ModuleType, bool, int | None], dict[str, str]]
    load: Callable[[Path, str], ModuleType]
    uses: str | None = None


# By name, the module of each target, which has `TARGET`. They are imported when they are asked for.
TARGETS = {C: "c.target", TORCH: "torch.target", JAX: "jax.target"}
NAMES = (NUMPY, *TARGETS)
# what begins a comment, by the ending of a file's name
COMMENTS = {".py": "#", ".tex": "%", ".c": "//", ".h": "//", ".html": "<!--"}


def target(name: str) -> Target:
    """The target of that name."""
    found: Target = import_module(f".{TARGETS[name]}", __package__).TARGET
    return found


def import_file(path: Path) -> ModuleType:
    """Run a file of ours as a module, by its path, without leaving compiled files beside it."""
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    text = path.read_text(encoding="utf-8")
    # The proofs run what will be written. Our own printers wrote it a moment ago, into a folder that is ours alone: the
    # names in it have passed the fence, and other text of a spec is in it only as an escaped docstring.
    exec(compile(text, str(path), "exec"), module.__dict__)  # our own generated text, never that of a spec
    return module
