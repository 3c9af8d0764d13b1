"""A spec to start from, with comments that teach the format. It can be built at once."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import SpecError
from ..language.names import IDENTIFIER, objection
from .cell import CellSpec
from .expand import expand
from .reader import load, read

_HEAD = """\
# {name}: the spec of a recurrent cell. Build it with
#
#     lstmgen build {name}.yaml
#
# which writes a NumPy module with the backward pass, and its derivation, if the proofs of both hold.
"""

_CELL = """
name: {name}                   # names the module and every file
# title: My cell               # heading of the document
# description: What the cell is for, in a paragraph of plain text.
# references: ["Somebody 1997, A paper"]
# notation: greff              # of the document: greff, ng, hats, colah, graves, or {{h: y}}; default: your names

# A size is a symbol; its keyword is an argument of init_params in the module.
dims: {{D: input_size, H: hidden_size}}

inputs: {{x: D}}                 # one value for each step; there may be several
state: {{h: H, c: H}}            # goes from step to step; of any shape: H, [H, H], [] (a scalar)

parameters:                    # what is learned
  W_f: [H, D]
  R_f: [H, H]
  b_f: {{shape: [H], init: 1}}   # init: a number, or uniform, glorot, orthogonal, identity
  W_z: [H, D]
  R_z: [H, H]
  b_z: [H]

# The equations of one step, in any order. h[t-1] is h of the step before. W @ x is a matrix times a vector;
# * acts entry by entry. Some of the functions: sigmoid, tanh, relu, softplus, exp, log, sqrt, softmax, sum,
# mean, layer_norm, dot, outer, concat(a, b), part(a, k, n), max(a, b), where(a < b, u, v).
equations:
  f: sigmoid(W_f @ x + R_f @ h[t-1] + b_f)
  z: tanh(W_z @ x + R_z @ h[t-1] + b_z)
  c: f * c[t-1] + (1 - f) * z
  h: tanh(c)

output: h                      # one name, or a list: [h, c]
"""

_MORE = {  # by the key that it is about
    "constants": ("constants: {beta: 0.1}", "numbers with a name, not learned"),
    "functions": ('functions: {"swish(a)": a * sigmoid(a)}', "scalar functions of your own"),
    "initial": ("initial: {STATE: 0.5}", "what a state starts from, if the caller gives none: a number (default 0),",
                "or the name of a parameter of its shape, which is learned"),
    "targets": ("targets: {target: SHAPE}", "with a loss, forward takes the targets and returns the loss"),
    "loss": ("loss: 0.5 * sum((target - OUTPUT) ** 2)", "a scalar for each step, summed over the steps"),
    "loss_at": ("loss_at: every", "or last: at the last step alone"),
    "range": ("range: {STATE: [0, 2]}", "where the proofs draw a value from; default [-1, 1]"),
}


_WORDS = {"STATE": "c", "OUTPUT": "h", "SHAPE": "H"}


def starter(name: str, origin: Path | None = None) -> str:
    """A commented spec called `name`, with the equations of `origin` if one is given.

    Raises ValueError if a spec cannot have this name, and SpecError if `origin` has a mistake.
    """
    title = _title(name)
    text = _HEAD.format(name=name)
    if origin is None:
        return text + _aligned(_CELL.format(name=name) + _more((), _WORDS))
    cell = load(origin)
    begun = replace(
        cell, name=name, title=title, description=f"Started from {cell.title}.", group="", variant=None)
    said = {key for key, items in (
        ("constants", cell.constants), ("functions", cell.functions), ("initial", cell.initial),
        ("targets", cell.targets), ("loss", cell.loss), ("loss_at", cell.loss), ("range", cell.ranges),
    ) if items}
    words = {"STATE": cell.states[-1].name, "OUTPUT": cell.outputs[0].name, "SHAPE": _shape(cell)}
    return f"{text}\n{expand(begun)}" + _aligned(_more(said, words))


def _title(name: str) -> str:
    """The title of a cell of this name whose spec gives none."""
    if not IDENTIFIER.match(name):
        raise ValueError(f"'{name}' {objection(name)}")
    try:
        return read(f"name: {name}\ncell: rnn\n", name).title
    except SpecError as error:
        raise ValueError(error.message) from None


def _shape(cell: CellSpec) -> str:
    """The shape of the first output, if it is a state; else a guess."""
    declared = {state.name: state.shape for state in cell.states}
    axes = [axis.value for axis in declared.get(cell.outputs[0].name, cell.states[0].shape)]
    return f"[{', '.join(axes)}]"


def _more(said: Collection[str], words: Mapping[str, str]) -> str:
    """The other keys of a spec, in comments that fit this cell."""
    left = [item for key, item in _MORE.items() if key not in said]
    if not left:
        return ""
    lines = ["", "# Other keys; to use one, remove the '# ' in front.", "#"]
    for text, *remarks in left:
        for old, new in words.items():
            text = text.replace(old, new)
        lines += [f"# {shown}  # {remark}" for shown, remark in zip([text, *[""] * len(remarks)], remarks)]
    return "\n".join([*lines, ""])


def _aligned(text: str) -> str:
    """Comments at the ends of lines, in one column if there is room."""
    return re.sub(r"(?m)^(.*\S) {2,}# ", lambda match: f"{match[1]:<30}  # ", text)
