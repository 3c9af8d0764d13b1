"""The pages with drawings: one step as a graph, and three steps with the gradients that flow back."""

from __future__ import annotations

from ..blocks import Block, Drawn, Picture, Prose, Section
from ..inline import figure as see
from ..latex.tikz import TOO_LARGE, Figure, draw_blocks, draw_step
from ..pen import Pen
from ..wording import count, listed


def graph_section(pen: Pen) -> Section:
    """One step of the cell, drawn."""
    colours = {name: f"fork{number}" for name, number in pen.colours.items()}
    step = draw_step(pen.graph, pen.notation, colours)
    blocks: list[Block] = []
    if step.fit == TOO_LARGE:
        blocks.append(Prose("One step of this cell has too many stages for a drawing on a page. The equations above "
                            "name the readers of each value."))
    else:
        blocks += [Prose(_reading(pen)), _picture(step, _step_caption(pen, step), "step")]
    three = draw_blocks(pen.graph, pen.notation, colours)
    blocks += [Prose(_three_told(pen)), _picture(three, _three_caption(pen), "blocks", legend=False, largest=0.68)]
    return Section("One step as a graph", "graph", tuple(blocks))


def _picture(figure: Figure, caption: str, label: str, legend: bool = True, largest: float = 1.0) -> Picture:
    """What is wider than a page comes in rows; each keeps its own scale."""
    rows = figure.parts or (figure,)
    drawn = tuple(Drawn(row.tikz, f"{min(row.scale, largest):g}") for row in rows)
    return Picture(drawn, caption, label, figure.legend_tex if legend else "")


def _reading(pen: Pen) -> str:
    """How to read the drawing, backwards above all."""
    told = (f"{see('step')} shows which stage reads which value. Along the arrows it is the forward pass, "
            "against them the backward pass. ")
    if not pen.forks:
        return told + "No wire branches: every adjoint has one term."
    return told + "Where a wire branches, the contributions that come back along the branches are added."


def _step_caption(pen: Pen, figure: Figure) -> str:
    said = ["One step. Values come in from the left, those of the step before too, and leave on the right. "
            "Parameters and other static values are not drawn."]
    if "cell peephole" in figure.tikz:
        said.append("A dashed wire enters an affine map through an elementwise product.")
    if "cell heavy" in figure.tikz:
        said.append("The thick wire is the direct path of a state, without a matrix or an activation.")
    if pen.forks:
        inputs = any(len(gradient.forks) > 1 for gradient in pen.derivation.inputs)
        some = inputs or len(pen.forks) > len(pen.colours)
        said.append("A numbered badge marks a fork" + (
            "; those without a colour of their own are dark." if some else ", in its colour."))
    if len(figure.parts) > 1:
        said.append(f"The drawing has {count(len(figure.parts), 'row')}. A wire that ends at the right of a row "
                    "continues at the left of the next, with the same letter.")
    return " ".join(said)


def _three_told(pen: Pen) -> str:
    carried = listed([pen.value(name) for name in pen.graph.states])
    return (f"{see('blocks')} shows three steps, each as one block. {carried} "
            f"{'goes' if len(pen.graph.states) == 1 else 'go'} from step to step. Beside every wire is one on which "
            "the gradient, of the same shape, comes back.")


def _three_caption(pen: Pen) -> str:
    said = ["Three steps in a row, and the gradients that flow back along the same wires."]
    states = [name for name in pen.graph.states if name in pen.colours]
    if states:
        badges = count(len(states), "badge") if len(states) > 1 else "badge"
        said.append(f"At the {badges}, the gradient that comes back is added to those from within the step.")
    return " ".join(said)
