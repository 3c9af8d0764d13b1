"""One plan for one cell: their arrays and ours, entry by entry."""

from __future__ import annotations

from collections.abc import Mapping

from ...derivation.graph import Graph
from .blocks import assemble, numbered
from .forms import Form
from .planning import Plan
from .records import FIRST, ONE


class Side:
    """What both directions need: to them, and back."""

    def __init__(self, plan: Plan, graph: Graph, sizes: Mapping[str, int]):
        self.plan, self.graph, self.sizes = plan, graph, sizes
        layout = plan.layout
        self.form = Form(str(layout.vectors), str(layout.batch), layout.time or FIRST)
        self.blocks = layout.blocks
        self.shapes = {name: self.shape(name) for name in graph.parameters}
        # For each entry of an array of theirs, which entry of ours it is: all of our parameters counted through.
        self.entries = {theirs: assemble(block, numbered(self.shapes), blank=-1) for theirs, block in self.blocks.items()}

    @property
    def alone(self) -> bool:
        """Whether they take one example at a time."""
        return self.form.batch == ONE

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one value or parameter of ours."""
        return tuple(dim.value(self.sizes) for dim in self.graph.shapes[name])
