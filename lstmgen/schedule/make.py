"""From a derivation to its schedule."""

from __future__ import annotations

from dataclasses import replace

from ..derivation.chain import Derivation
from . import tape
from .backward import backward_pass
from .forward import single_step, whole_pass
from .plan import make_plan
from .records import Schedule, Start
from .storage import sizes, stored_parameters


def make_schedule(derivation: Derivation, joint: bool = True) -> Schedule:
    """Decide what is computed when, over what, and what is kept for it.

    `joint` says whether gates that lie side by side share one call: what a language with arrays gains from.
    """
    plan = make_plan(derivation)
    if not joint:
        plan = replace(plan, gates=())
    stored = stored_parameters(plan)
    forward, step = whole_pass(plan), single_step(plan)
    backward = backward_pass(plan, stored)
    return Schedule(
        plan=plan,
        parameters=stored,
        sizes=sizes(plan.graph, stored),
        starts=tuple(Start(state, value) for state, value in plan.graph.initial),
        forward=forward,
        step=step,
        backward=backward,
        buffers=tape.buffers(plan, backward),
        tape=tape.tape(plan, backward),
        read_forward=tape.read_forward(forward, stored),
        read_step=tape.read_forward(step, stored),
        read_backward=tape.read_backward(backward, stored),
    )
