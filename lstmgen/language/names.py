"""Which names a spec may use, and why not others. Nothing else has to check a name."""

from __future__ import annotations

import difflib
import keyword
import re
import unicodedata
from collections.abc import Iterable

IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z", re.ASCII)
LONGEST = 40

# A generated module uses these itself, as arguments, classes, functions or builtins.
# Its other helpers are renamed if a spec uses their names; these cannot, because users type them.
RESERVED = frozenset(
    """
    t np params state tape dy dstate grads rng dtype self
    State Gradients Outputs Tape NamedTuple
    init_params named forward backward step clip_by_norm
    range reversed len float
    """.split()
)

# The symbol of a dimension is a variable in the module's checks, next to these variables.
NO_DIMENSION = frozenset(
    """
    arguments array arrays axes batch checks derivative end enumerate error evaluate expected found gradient
    isinstance max moved name objective place print scale shape steps sum value worst zip
    """.split()
)


# Names that papers and other libraries use, and the names that they have here.
_ELSEWHERE = {
    "logistic": "sigmoid", "sigm": "sigmoid", "sigma": "sigmoid", "expit": "sigmoid", "swish": "silu",
    "lrelu": "leaky_relu", "celu": "elu", "sgn": "sign", "hstack": "concat", "vstack": "concat",
    "hardsigmoid": "hard_sigmoid", "hardtanh": "hard_tanh", "layernorm": "layer_norm", "ln": "layer_norm", "lse": "logsumexp",
    "cat": "concat", "concatenate": "concat", "maximum": "max", "minimum": "min", "clamp": "clip", "detach": "stop_gradient",
    "rmsnorm": "rms_norm", "l2_normalize": "l2_norm", "normalize": "l2_norm",
    "identity_matrix": "eye", "linear": "identity", "xavier": "glorot", "average": "mean", "inner": "dot",
}


def cure_for(name: str) -> str:
    """What to write in place of a text that is not a name."""
    step = re.match(r"([A-Za-z][A-Za-z0-9_]*)\s*(\[\s*t\s*\]|_?\{\s*t\s*\}|\(\s*t\s*\))\Z", name)
    if step:
        return f"write '{step[1]}': a name stands for the value at step t"
    if len(name) == 1 and "GREEK SMALL LETTER" in unicodedata.name(name, ""):
        return f"write it out: {unicodedata.name(name).split()[-1].lower()}"
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")
    if plain != name and name.isascii() and re.match(r"[A-Za-z]", name) and objection(plain) is None and ")" not in name:
        return f"choose another name, such as {plain}"
    return "choose another name"


def objection(name: str) -> str | None:
    """Why `name` cannot be a name in a spec, as the end of a sentence; None if it can."""
    if not IDENTIFIER.match(name):
        return "is not a name: names are ASCII, a letter and then letters, digits or _"
    if len(name) > LONGEST:
        return f"is longer than {LONGEST} characters"
    if keyword.iskeyword(name) or name in ("True", "False", "None"):
        return "is a keyword of Python, and the generated module is Python"
    if name in RESERVED:
        return "is a name that the generated module needs itself"
    if name.endswith("_pre"):
        return "ends in '_pre', which is kept for pre-activations (i_pre is the argument of i's activation)"
    if name.startswith(("d_", "dy_")):
        return "begins with 'd_' or 'dy_', which are kept for gradients"
    return None


def nearest(name: str, known: Iterable[str], alike: float = 0.6) -> str | None:
    """The known name that was probably meant, if one is near enough: `alike` is 1 for the same letters."""
    candidates = sorted(set(known))
    if _ELSEWHERE.get(name.lower()) in candidates:
        return _ELSEWHERE[name.lower()]
    folded = {candidate.lower(): candidate for candidate in reversed(candidates)}
    if name.lower() in folded:
        return folded[name.lower()]
    near = difflib.get_close_matches(name, candidates, n=1, cutoff=alike)
    return near[0] if near else None


def did_you_mean(name: str, known: Iterable[str], alike: float = 0.6) -> str | None:
    """`nearest` as the cure of an error: a question, or None."""
    near = nearest(name, known, alike)
    return f"did you mean '{near}'?" if near else None
