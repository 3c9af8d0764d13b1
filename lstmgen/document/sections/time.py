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
        rf"Step ${steps}+1$ does not exist, so its terms are missing. In their place, a gradient of the final "
        f"state{plural} may come from outside (in the module {fields}; zero, if the caller gives none). It is "
        f"added to {final}. So a long sequence can be cut into pieces: each piece takes here the gradient of the "
        f"initial state{plural} of the next piece."))
    blocks.append(Heading("The first step", "The first step"))
    at_zero = Printer(pen.notation, "0", pen.adjoint_colour)
    equations = []
    for state, gradient in carried.items():
        rest = Gradient(state, gradient.shape, gradient.through_time())
        equations.append(Equation(at_zero(Adjoint(state)) + "={}", pen.terms(rest, at_zero)))
    told = "Only step 1 can read the initial state, so its gradient has the contributions through time alone. "
    if not one:
        told = "Only step 1 can read the initial states, so their gradients have the contributions through time alone. "
    blocks.append(Prose(told + f"In the module {'it is' if one else 'they are'} {code('grads.state')}."))
    blocks.append(pen.display(equations))
    learned = [(state, start.name) for state, start in pen.graph.initial if isinstance(start, Value)]
    if learned:
        pairs = listed([f"{math_text(at_zero(Value(state)))} is the learned {code(name)}"
                        for state, name in learned])
        blocks.append(Prose(
            f"If {pairs}, this, added up over the batch, is the gradient of "
            f"{'the parameter' if len(learned) == 1 else 'each parameter'}. If the caller gives an initial state, "
            "the gradient is zero."))
    blocks += [Heading("Losses", "Losses"), *(Prose(text) for text in _losses(pen))]
    return Section("The first and the last step", "boundary", tuple(blocks))


def _losses(pen: Pen) -> list[str]:
    """Where the loss is taken, and what that changes: nothing but what comes in at each step."""
    if pen.graph.loss is not None:
        return [_loss_told(pen, pen.graph.loss)]
    steps, outputs = pen.notation.steps, pen.graph.outputs
    arriving = [math_text(pen.plain(Outside(name))) for name in outputs]
    said = [f"The equations hold for any loss: it enters through {listed(arriving)} only. For example, with a target "
            "at every step and half the squared distance, "
            f"$\\mathcal L=\\sum_t\\tfrac12\\lvert {_output(pen)}-\\text{{target}}_t\\rvert^2$, "
            f"it is {listed(_differences(pen))}"
            + (", and the others are zero." if len(outputs) > 1 else ".")]
    carried = _carried(pen)
    last = (f"If only the last step has a loss (many to one), {listed(arriving)} "
            f"{'is' if len(arriving) == 1 else 'are'} zero at all steps but ${steps}$")
    last += (f", and the earlier steps get a gradient through {carried} only." if carried else
             ", and so are all gradients of earlier steps, because nothing is carried.")
    said.append(last)
    if pen.graph.inputs and carried:
        inputs = listed([pen.value(name) for name in pen.graph.inputs])
        said.append(f"If only the first step has an input (one to many), {inputs} "
                    f"{'is' if len(pen.graph.inputs) == 1 else 'are'} zero afterwards. {_fed_back(pen)}")
    return [" ".join(said)]


def _fed_back(pen: Pen) -> str:
    """What to do if an output is the next step's input: it has one more reader then."""
    if len(pen.graph.outputs) > 1 or len(pen.graph.inputs) > 1:
        return ("If an output is fed back as an input of the next step, add the adjoint of that input to the gradient "
                "from outside of the output.")
    adjoint, arriving = (math_text(pen.plain(each)) for each in (
        Adjoint(pen.graph.inputs[0], 1), Outside(pen.graph.outputs[0])))
    return f"If the output is fed back as the next input, add {adjoint} to {arriving}."


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
        return ("The loss is taken at the last step only. A term with the bracket "
                f"$[t={pen.notation.steps}]$ is zero at all other steps: they get a gradient through time only.")
    return (f"Every step has a loss {pen.value(loss)} of its own, and their sum is $\\mathcal L$; so "
            f"{pen.adjoint(loss)} is 1 at every step.")
