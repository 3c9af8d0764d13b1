"""lstmgen: from the spec of a recurrent cell to its verified backward pass, as code and as a document.

    cell = lstmgen.load("peephole_lstm.yaml")   # the cell, as its spec states it
    derivation = lstmgen.derive(cell)           # every gradient, one record per fork
    lstmgen.build("peephole_lstm.yaml", "out")  # NAME.py and NAME.tex, verified
    lstmgen.verify("peephole_lstm.yaml")        # the proofs' figures

Errors in a spec are `lstmgen.SpecError`, with path, line, column, message and cure.
"""

__version__ = "0.1.0"

# The public names and where they live. They are imported when they are first asked for:
# `lstmgen --help` must not wait for SymPy.
_HOMES = {
    "load": "pipeline", "derive": "pipeline", "build": "pipeline", "verify": "pipeline",
    "SpecError": "errors",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'lstmgen' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__():
    return sorted(__all__)
