"""lstmgen: from the spec of a recurrent cell to its verified backward pass, as code and as a document.

    cell = lstmgen.load("peephole_lstm.yaml")     # the cell, as its spec states it
    derivation = lstmgen.derive(cell)             # every gradient, one record for each contribution
    lstmgen.build("peephole_lstm.yaml", "out")    # NAME.py and NAME.tex, verified
    lstmgen.verify("peephole_lstm.yaml")          # the proofs' figures
    print(lstmgen.explain("peephole_lstm", "c"))  # one gradient in words; also show, diff, draw, flow, audit
    print(lstmgen.cells())                        # the cells that come with lstmgen; also functions
    lstmgen.weights.from_torch("lstm", state_dict)  # weights of other libraries; also from_keras, from_onnx, to_torch ...

Each function does what the command of its name does. What it returns prints as the command's text, shows in a
notebook, and has a `repr` of one line. Errors in a spec are `lstmgen.SpecError`, with path, line, column, message and
cure.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a type checker cannot follow `__getattr__`
    from . import weights as weights
    from .api import (
        audit as audit, cells as cells, diff as diff, draw as draw, explain as explain, flow as flow,
        functions as functions, show as show,
    )
    from .auditing.foreign import ForeignError as ForeignError
    from .errors import SpecError as SpecError
    from .files import OutputError as OutputError
    from .pipeline import (
        VerificationFailed as VerificationFailed, build as build, derive as derive, load as load, verify as verify,
    )

__version__ = "0.1.0"

# The public names and where they live. They are imported when they are first asked for:
# `lstmgen --help` must not wait for SymPy.
_HOMES = {
    **dict.fromkeys(("load", "derive", "build", "verify", "VerificationFailed"), "pipeline"),
    **dict.fromkeys(("show", "explain", "diff", "draw", "flow", "audit", "cells", "functions"), "api"),
    "SpecError": "errors", "OutputError": "files", "ForeignError": "auditing.foreign",
}
__all__ = ["__version__", "weights", *_HOMES]


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name == "weights":  # a folder with public names of its own
        return import_module(".weights", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module 'lstmgen' has no attribute '{name}'")
    found: object = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
