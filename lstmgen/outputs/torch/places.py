"""What values and adjoints are called at each place of the file.

In the loops, what belongs to step t is a local variable, and whole tensors over time have an index: a step of the forward
pass computes `z`, a step of the backward pass reads `z[t]` and computes `d_z`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...language.constants import is_constant
from ...language.expressions import Adjoint, Expression, Outside, Value
from ...language.text import ATOM
from ...schedule.plan import AFTER, LAST, LOOP, Block, Stack
from ...schedule.records import EVERY_STEP, ONE, Bundle, Schedule
from ..numpy.lines import Line, unpacked
from ..numpy.places import EACH, LAST_STEP, SINGLE, WHOLE, Places
from ..numpy.spelling import Leaf, Spelled
from .spelling import PACKAGE, TorchSpeller

BACK = "back"  # step t of the backward loop, beside EACH, step t of the forward loop

_INDEX = {EACH: "[t]", BACK: "[t]", LAST_STEP: "[-1]"}


class TorchPlaces(Places):
    """The names of one file; the spec's own names come first."""

    def __init__(self, schedule: Schedule):
        super().__init__(schedule)
        self.package = self.fresh(PACKAGE)
        self.like = self.graph.inputs[0]
        self.end, self.steps = self.fresh("end"), self.fresh("steps")
        self._added_to = {each.onto for each in schedule.forward.loop if isinstance(each, Bundle) and each.onto}
        self.phases = schedule.plan.phases
        # stages of the loop that are needed at all steps afterwards; of a state, the start belongs to them
        self.collected = tuple(stage.name for stage in schedule.plan.stages_in(LOOP)
                               if self._extent[stage.name] == EVERY_STEP)
        self.states_collected = tuple(filter(self._is_needed_after, self.graph.states))

    def _is_needed_after(self, state: str) -> bool:
        """Whether anything but the next step needs a state."""
        read = any(entry.name == state for entry in self.schedule.tape) or state in self.graph.outputs
        return read or any(self.phases[reader.stage] in (AFTER, LAST) for reader in self.graph.readers(state))

    def kept(self) -> tuple[str, ...]:
        """The tensors that the forward pass hands to the backward pass, in the order of the tape."""
        arguments = {*self.graph.inputs, *self.graph.targets}
        names = [self.every(entry.name) if entry.name in self.graph.states else entry.name
                 for entry in self.schedule.tape if entry.name not in arguments]
        return tuple(dict.fromkeys(names))

    def hoisted(self, bundle: Bundle) -> str:
        """The tensor of a bundle made before the loop: if one in the loop adds to it, `pre_x` beside that one's `pre`."""
        key = (bundle.name, bundle.stages)
        if bundle not in self._added_to:
            return self.fresh(bundle.name, key)
        stack, = bundle.products
        assert isinstance(stack, Stack), "before the loop, a bundle is one product"
        return self.fresh(f"{bundle.name}_{stack.vector.name}", ("hoisted", *key))

    def spread(self, expression: Expression, spelled: Spelled, shape: str, place: str) -> str:
        """What is the same in all steps and examples, with their axes in front."""
        if is_constant(expression):
            return f"{self.now[self.like] if place == SINGLE else self.like}.new_full({shape}, {spelled.text})"
        return f"{spelled.inside(ATOM)}.expand({shape})"

    def over_time(self, names: Sequence[str], shapes: Sequence[str], steps: str) -> Line:
        """What each step had, at all steps."""
        self.helpers.add("over_time")
        listed = ", ".join(shapes) if len(set(shapes)) > 1 or len(shapes) < 3 else f"*{len(shapes)} * [{shapes[0]}]"
        return Line(f"{unpacked(names)} = _over_time({steps}, {self.like}, {listed})")

    # --- values

    def name_of(self, place: str) -> Callable[[Leaf], str]:
        index = _INDEX.get(place, "")

        def name(leaf: Leaf) -> str:
            match leaf:
                case Value(name=name, lag=lag):
                    return self._value(name, lag, place, index)
                case Adjoint(name=name):
                    phase = self.phases.get(name)
                    is_local = (phase == LOOP and place == BACK) or (phase == LAST and place == LAST_STEP)
                    return f"d_{name}" + ("" if is_local or self._adjoint_extent[name] == ONE else index)
                case Outside(name=name):
                    return ("dy" if len(self.graph.outputs) == 1 else f"dy.{name}") + index

        return name

    def _value(self, name: str, lag: int, place: str, index: str) -> str:
        if name in self.graph.static:
            return name
        if place == SINGLE:
            return self.previous[name] if lag else self.now.get(name, name)
        if place == EACH and self.phases.get(name) == LOOP:
            return self.previous[name] if lag else name
        if lag:
            return self.previous[name] + index
        return name if self.phases.get(name) == LAST else name + index

    # --- expressions

    def speller(self, place: str) -> TorchSpeller:
        speller = TorchSpeller(self.graph.shapes, self.graph.static, self.name_of(place), all_steps=place == WHOLE)
        speller.helpers, speller.package = self.helpers, self.package
        speller.like = self.now[self.like] if place == SINGLE else self.like
        return speller

    def columns(self, block: Block, stages: tuple[str, ...], in_step: bool = False) -> str:
        """The adjoints of neighbouring stages of a block that are side by side already."""
        name = self.block_gradient[block]
        if len(stages) == len(block.stages):
            return name
        return name + self.part(block.stages, stages[0], stages[-1], "..., ")
