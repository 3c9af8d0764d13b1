r"""The first and the last step: what comes in there, and what goes out."""

from __future__ import annotations

from .blocks import Block, Heading, Prose, Section
from .chain import Gradient
from .expressions import Adjoint, Value
from .pen import Pen
from .spell_latex import Printer
from .wording import code, listed, math_text


def boundary_section(pen: Pen) -> Section:
    steps = pen.notation.steps
    states = pen.graph.states
    one = len(states) == 1
    carried = {state: pen.derivation.adjoints[state] for state in states}
    blocks: list[Block] = [Heading("The last step", "The last step")]
    fields = listed([code(f"dstate.{state}") for state in states])
    at_the_end = Printer(pen.notation, steps, pen.adjoint_colour)
    final = listed([math_text(at_the_end(Adjoint(state))) for state in states])
    plural = "" if one else "s"
    blocks.append(Prose(
        rf"Step ${steps}+1$ does not exist. Where its terms stood, a gradient may come in from outside "
        f"for the final state{plural} (zero, if the caller gives none; in the module {fields}); it is "
        f"added to {final}. With it, a long sequence can be cut into pieces: the gradient at one piece's "
        f"initial state{plural} is what the piece before it takes here."))
    if pen.graph.loss is not None:
        blocks.append(Prose(_loss_told(pen)))
    blocks.append(Heading("The first step", "The first step"))
    at_zero = Printer(pen.notation, "0", pen.adjoint_colour)
    equations = []
    for state, gradient in carried.items():
        rest = Gradient(state, gradient.shape, gradient.through_time())
        equations.append((at_zero(Adjoint(state)) + "={}", pen.terms(rest, at_zero), None))
    told = "The initial state can be read by step 1 alone: its gradient has the branches through time. "
    if not one:
        told = "Initial states can be read by step 1 alone: they get the branches through time. "
    blocks.append(Prose(told + f"In the module {'it is' if one else 'they are'} {code('grads.state')}."))
    blocks.append(pen.display(equations))
    learned = [(state, start.name) for state, start in pen.graph.initial if isinstance(start, Value)]
    if learned:
        pairs = listed([f"{math_text(at_zero(Value(state)))} is the learned {code(name)}"
                        for state, name in learned])
        blocks.append(Prose(
            f"Where {pairs}, this is what {'the parameter' if len(learned) == 1 else 'each parameter'} "
            "gets, added up over the batch; where the caller gave a start, it gets nothing by this way."))
    return Section("The first and the last step", "boundary", tuple(blocks))


def _loss_told(pen: Pen) -> str:
    step_loss = pen.value(pen.graph.loss)
    if pen.spec.loss_at == "last":
        return ("The loss is taken at the last step alone. A term with the bracket "
                f"$[t={pen.notation.steps}]$ exists there and is zero at all other steps, which hear "
                "of the loss through time only.")
    return (f"Every step has a loss {step_loss} of its own, and their sum is $\\mathcal L$; so "
            f"{pen.adjoint(pen.graph.loss)} is 1 at every step.")
