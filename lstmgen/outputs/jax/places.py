"""What values, adjoints and helpers are called at each place of the JAX module.

Inside the function of one step a value has the name that it has outside for all steps: no index is needed.
"""

from __future__ import annotations

from collections.abc import Callable

from ...language.expressions import Adjoint, Outside, Value
from ...schedule.plan import Block, Stack
from ...schedule.records import ONE, Schedule
from ..numpy.places import EACH, LAST_STEP, SINGLE, Places
from ..numpy.spelling import Leaf
from .spelling import JaxSpeller

# The modules that the code calls: a value of one of these names is called otherwise in the code.
IMPORTED = ("jax", "jnp", "lax")


class JaxPlaces(Places):
    """The names of one module; the spec's own names come first, and helpers keep clear of them."""

    def __init__(self, schedule: Schedule):
        super().__init__(schedule)
        self.renamed = {name: self.fresh(name) for name in IMPORTED}
        learned = any(isinstance(start.value, Value) for start in schedule.starts)
        self.start = self.fresh("start") if learned else "state"  # where the states start

    def own(self, name: str) -> str:
        """A value, or a stored parameter, in the code."""
        return self.renamed.get(name, name)

    # --- values

    def name_of(self, place: str) -> Callable[[Leaf], str]:
        """What a value, an adjoint or what comes from outside is called at a place."""

        def name(leaf: Leaf) -> str:
            match leaf:
                case Value(name=name, lag=lag):
                    return self.value(name, lag, place)
                case Adjoint(name=name):
                    return f"d_{name}" + "[-1]" * (place == LAST_STEP and self._adjoint_extent[name] != ONE)
                case Outside(name=name):
                    return ("dy" if len(self.graph.outputs) == 1 else f"dy.{name}") + "[-1]" * (place == LAST_STEP)

        return name

    def value(self, name: str, lag: int, place: str) -> str:
        graph = self.graph
        if name in graph.static:
            return self.own(name)
        if place == SINGLE and name in graph.inputs:
            return self.now[name]
        text = self.previous[name] if lag else self.own(name)
        is_single = name in self._extent and self._extent[name] == ONE
        return text + "[-1]" * (place == LAST_STEP and not is_single)

    # --- expressions

    def speller(self, place: str) -> JaxSpeller:
        speller = JaxSpeller(self.graph.shapes, self.graph.static, self.name_of(place), all_steps=place not in (EACH, SINGLE))
        speller.helpers = self.helpers
        return speller

    def columns(self, block: Block, stages: tuple[str, ...], in_step: bool = False) -> str:
        """The adjoints of neighbouring stages of a block, side by side; of one step, or of all."""
        name = self.block_gradient[block]
        if len(stages) == len(block.stages):
            return name
        return name + self.part(block.stages, stages[0], stages[-1], ":, " if in_step else "..., ")

    def product(self, stack: Stack, place: str) -> str:
        """A stack's product with its vector."""
        speller = self.speller(place)
        return speller.product(speller.spell(stack.vector), self.own(stack.name), turned=True).text
