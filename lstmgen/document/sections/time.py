r"""The first and the last step: what comes in there, and what goes out."""

from __future__ import annotations

from ...derivation.chain import Gradient
from ...language.expressions import Adjoint, Outside, Value
from ..blocks import Block, Heading, Prose, Section
from ..latex.printer import Printer
from ..pen import Equation, Pen
from ..wording import code, listed, math_text


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
    blocks.append(Heading("The first step", "The first step"))
    at_zero = Printer(pen.notation, "0", pen.adjoint_colour)
    equations = []
    for state, gradient in carried.items():
        rest = Gradient(state, gradient.shape, gradient.through_time())
        equations.append(Equation(at_zero(Adjoint(state)) + "={}", pen.terms(rest, at_zero)))
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
    blocks += [Heading("Losses", "Losses"), *(Prose(text) for text in _losses(pen))]
    return Section("The first and the last step", "boundary", tuple(blocks))


def _losses(pen: Pen) -> list[str]:
    """Where the loss is taken, and what that changes: nothing but what comes in at each step."""
    if pen.graph.loss is not None:
        return [_loss_told(pen, pen.graph.loss)]
    steps, outputs = pen.notation.steps, pen.graph.outputs
    arriving = [math_text(pen.plain(Outside(name))) for name in outputs]
    said = [f"The equations hold for any loss: it enters by {listed(arriving)} alone. With a target at every step "
            f"and half the squared distance, $\\mathcal L=\\sum_t\\tfrac12\\lvert {_output(pen)}-\\text{{target}}_t"
            f"\\rvert^2$, it is {listed(_differences(pen))}"
            + (", and the others are zero." if len(outputs) > 1 else ".")]
    carried = _carried(pen)
    last = (f"Where the last step alone has a loss (many to one), {listed(arriving)} "
            f"{'is' if len(arriving) == 1 else 'are'} zero at all steps but ${steps}$")
    last += (f", and the earlier ones hear of it through {carried} alone." if carried else
             ", and so are all gradients of earlier steps, since nothing is carried.")
    said.append(last)
    if pen.graph.inputs and carried:
        inputs = listed([pen.value(name) for name in pen.graph.inputs])
        said.append(f"Where the first step alone has an input (one to many), {inputs} "
                    f"{'is' if len(pen.graph.inputs) == 1 else 'are'} zero afterwards, or "
                    "what the step before gave: then that is one more reader of it, and one more branch of its fork, "
                    "which whoever feeds it back adds to what comes in from outside.")
    return [" ".join(said)]


def _output(pen: Pen) -> str:
    return pen.plain(Value(pen.graph.outputs[0]))


def _differences(pen: Pen) -> list[str]:
    shown = [(pen.plain(Outside(name)), pen.plain(Value(name))) for name in pen.graph.outputs[:1]]
    return [math_text(rf"{arriving}={value}-\text{{target}}_t") for arriving, value in shown]


def _carried(pen: Pen) -> str:
    """The states that a later step reads."""
    read = [name for name in pen.graph.states if any(reader.lag for reader in pen.graph.readers(name))]
    return listed([pen.value(name) for name in read]) if read else ""


def _loss_told(pen: Pen, loss: str) -> str:
    if pen.graph.has_loss_at_last:
        return ("The loss is taken at the last step alone. A term with the bracket "
                f"$[t={pen.notation.steps}]$ exists there and is zero at all other steps, which hear "
                "of the loss through time only.")
    return (f"Every step has a loss {pen.value(loss)} of its own, and their sum is $\\mathcal L$; so "
            f"{pen.adjoint(loss)} is 1 at every step.")
