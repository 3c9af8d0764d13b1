"""lstmgen: from the spec of a recurrent cell to its verified backward pass, as code and as a document.

    cell = lstmgen.load("peephole_lstm.yaml")   # the cell, as its spec states it
    derivation = lstmgen.derive(cell)           # every gradient, one record for each contribution
    lstmgen.build("peephole_lstm.yaml", "out")  # NAME.py and NAME.tex, verified
    lstmgen.verify("peephole_lstm.yaml")        # the proofs' figures

Errors in a spec are `lstmgen.SpecError`, with path, line, column, message and cure.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a type checker cannot follow `__getattr__`
    from .errors import SpecError as SpecError
    from .pipeline import build as build, derive as derive, load as load, verify as verify

__version__ = "0.1.0"

# The public names and where they live. They are imported when they are first asked for:
# `lstmgen --help` must not wait for SymPy.
_HOMES = {
    "load": "pipeline", "derive": "pipeline", "build": "pipeline", "verify": "pipeline",
    "SpecError": "errors",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'lstmgen' has no attribute '{name}'")
    from importlib import import_module

    found: object = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
