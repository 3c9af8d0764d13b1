"""The first and the last step: what comes in there, and what goes out."""

from __future__ import annotations

from ...derivation.chain import Gradient
from ...language.expressions import Adjoint, Outside, Value
from ..blocks import Block, Prose, Section
from ..inline import code, math, strong
from ..latex.lines import BREAK
from ..latex.printer import Printer
from ..pen import Pen, SmallEquation
from ..wording import listed


def boundary_section(pen: Pen) -> Section:
    steps = pen.notation.steps
    states = pen.graph.states
    one = len(states) == 1
    fields = listed([code(f"dstate.{state}") for state in states])
    at_the_end = Printer(pen.notation, steps, pen.adjoint_colour)
    final = listed([math(at_the_end(Adjoint(state))) for state in states])
    plural = "" if one else "s"
    missing = math(rf"{steps}+1")
    blocks: list[Block] = [Prose(
        f"{strong('The last step.')} Step {missing} does not exist, so its terms are missing. In their place, a gradient of "
        f"the final state{plural} may come from outside (in the module {fields}; zero, if the caller gives none). It is "
        f"added to {final}. So a long sequence can be cut into pieces: each piece takes here the gradient of the "
        f"initial state{plural} of the next piece. If it takes nothing, that is truncated backpropagation.")]
    at_zero = Printer(pen.notation, "0", pen.adjoint_colour)
    whose = "state, so its gradient has" if one else "states, so their gradients have"
    blocks.append(Prose(
        f"{strong('The first step.')} Only step 1 can read the initial {whose} the contributions through time alone (in the "
        f"module {code('grads.state')}):"))
    blocks.append(pen.gathered([_start(pen, state, at_zero) for state in states]))
    learned = [(state, start.name) for state, start in pen.graph.initial if isinstance(start, Value)]
    if learned:
        pairs = listed([f"{math(at_zero(Value(state)))} is the learned {code(name)}" for state, name in learned])
        blocks.append(Prose(
            f"If {pairs}, this, added up over the batch, is the gradient of "
            f"{'the parameter' if len(learned) == 1 else 'each parameter'}. If the caller gives an initial state, "
            "the gradient is zero."))
    blocks.append(Prose(f"{strong('Losses.')} {_losses(pen)}"))
    return Section("The first and the last step", "boundary", tuple(blocks))


def _start(pen: Pen, state: str, at_zero: Printer) -> SmallEquation:
    gradient = pen.derivation.adjoints[state]
    terms = pen.terms(Gradient(state, gradient.shape, gradient.through_time()), at_zero)
    joined = terms[0].marked + "".join(f"{BREAK}0{term.marked.removeprefix('{}')}" for term in terms[1:])
    return SmallEquation(at_zero(Adjoint(state)), joined)


def _losses(pen: Pen) -> str:
    """Where the loss is taken, and what that changes: nothing but what comes in at each step."""
    if pen.graph.loss is not None:
        return _loss_told(pen, pen.graph.loss)
    steps, outputs = math(pen.notation.steps), pen.graph.outputs
    arriving = [math(pen.plain(Outside(name))) for name in outputs]
    output = pen.plain(Value(outputs[0]))
    example = math(rf"\mathcal L=\sum_t\tfrac12\lvert {output}-\text{{target}}_t\rvert^2")
    difference = math(rf"{pen.plain(Outside(outputs[0]))}={output}-\text{{target}}_t")
    said = [f"The equations hold for any loss: it enters through {listed(arriving)} only. For example, with a target "
            f"at every step and half the squared distance, {example}, it is {difference}"
            + (", and the others are zero." if len(outputs) > 1 else ".")]
    carried = _carried(pen)
    last = (f"If only the last step has a loss (many to one), {listed(arriving)} "
            f"{'is' if len(arriving) == 1 else 'are'} zero at all steps but {steps}")
    last += (f", and the earlier steps get a gradient through {carried} only." if carried else
             ", and so are all gradients of earlier steps, because nothing is carried.")
    said.append(last)
    if pen.graph.inputs and carried:
        inputs = listed([pen.value(name) for name in pen.graph.inputs])
        said.append(f"If only the first step has an input (one to many), {inputs} "
                    f"{'is' if len(pen.graph.inputs) == 1 else 'are'} zero afterwards. {_fed_back(pen)}")
    return " ".join(said)


def _fed_back(pen: Pen) -> str:
    """What to do if an output is the next step's input: it has one more reader then."""
    if len(pen.graph.outputs) > 1 or len(pen.graph.inputs) > 1:
        return ("If an output is fed back as an input of the next step, add the adjoint of that input to the gradient "
                "from outside of the output.")
    adjoint, arriving = (math(pen.plain(each)) for each in (
        Adjoint(pen.graph.inputs[0], 1), Outside(pen.graph.outputs[0])))
    return f"If the output is fed back as the next input, add {adjoint} to {arriving}."


def _carried(pen: Pen) -> str:
    """The states that a later step reads."""
    read = [name for name in pen.graph.states if any(reader.lag for reader in pen.graph.readers(name))]
    return listed([pen.value(name) for name in read]) if read else ""


def _loss_told(pen: Pen, loss: str) -> str:
    if pen.graph.has_loss_at_last:
        return (f"The loss is taken at the last step only. A term with the bracket {math(f'[t={pen.notation.steps}]')} is "
                "zero at all other steps: they get a gradient through time only.")
    return (f"Every step has a loss {pen.value(loss)} of its own, and their sum is " + math(r"\mathcal L")
            + f"; so {pen.adjoint(loss)} is 1 at every step.")
