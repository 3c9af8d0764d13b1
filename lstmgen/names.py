"""Which names a spec may use, and why not others. Everything that a name could break is decided here."""

from __future__ import annotations

import difflib
import keyword
import re
from collections.abc import Iterable

IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z", re.ASCII)
LONGEST = 40

# A generated module uses these itself, as arguments, classes, functions or builtins.
# Its other helpers step aside for a spec's names; these cannot, because users type them.
RESERVED = frozenset(
    """
    t np params state tape dy dstate grads rng dtype self
    State Gradients Outputs Tape NamedTuple
    init_params named forward backward step clip_by_norm
    range reversed len float
    """.split()
)

# A dimension's symbol is a variable in the module's checks of its arguments and of itself, beside theirs.
NO_DIMENSION = frozenset(
    """
    arguments array arrays axes batch checks derivative end enumerate error evaluate expected found gradient
    isinstance max moved name objective place print scale shape steps sum value worst zip
    """.split()
)


def objection(name: str) -> str | None:
    """Why `name` cannot be a name in a spec, as the end of a sentence; None if it can."""
    if not IDENTIFIER.match(name):
        return "is no name: names are ASCII, a letter and then letters, digits or _"
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


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant, if one is near enough."""
    candidates = sorted(set(known))
    folded = {candidate.lower(): candidate for candidate in reversed(candidates)}
    if name.lower() in folded:
        return folded[name.lower()]
    near = difflib.get_close_matches(name, candidates, n=1, cutoff=0.6)
    return near[0] if near else None


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """The same as a cure for an error message."""
    near = nearest(name, known)
    return f"did you mean '{near}'?" if near else None
