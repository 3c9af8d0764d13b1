"""What values, adjoints and helpers are called at each place of the module."""

from __future__ import annotations

from collections.abc import Callable

from ...language.expressions import Adjoint, Outside, Value
from ...language.names import RESERVED
from ...schedule.plan import Block
from ...schedule.records import ONE, Bundle, Schedule
from ...schedule.plan import Stack
from .lines import Line, size
from .spelling import Leaf, Speller

# Where code stands: over all steps, at step t, at the last step, in `step`.
WHOLE, EACH, LAST_STEP, SINGLE = "whole", "each", "last step", "single"
_INDEX = {EACH: "[t]", LAST_STEP: "[-1]"}


class Places:
    """The names of one module; the spec's own names come first, and helpers keep clear of them."""

    def __init__(self, schedule: Schedule):
        self.schedule, self.graph = schedule, schedule.graph
        self.helpers: set[str] = set()  # helper functions that the module's code calls
        self._taken = set(self.graph.shapes) | {symbol for symbol, _ in self.graph.dims} | RESERVED
        self._taken |= {f"d_{name}" for name in self.graph.shapes}
        self._taken |= {entry.name for entry in schedule.parameters}
        self._by_key: dict[object, str] = {}
        self._extent = schedule.extents(is_adjoint=False)
        self._adjoint_extent = schedule.extents(is_adjoint=True)
        self.equal: dict[str, Adjoint | Outside] = {}  # by adjoint, another one that it equals and is written as
        self.parts: dict[str, str] = {}  # by stage, the part of a product that it is and is written as
        self._turned: dict[str, str] = {}  # matrices that a loop reads transposed: the names of the copies
        self.T, self.B = self.fresh("T"), self.fresh("B")
        self.previous = {state: self.fresh(f"{state}_prev") for state in self.graph.states}
        self.now = {name: self.fresh(f"{name}_t") for name in self.graph.inputs}
        carried = [carry.gradient.value for carry in schedule.backward.carries]
        self.next = {name: self.fresh(f"d_{name}_next") for name in carried}
        plan = schedule.plan
        self.block_gradient = {
            block: f"d_{block.stages[0]}" if len(block.stages) == 1 else self.fresh(f"d_{plan.sum_name(block.stages)}")
            for block in plan.blocks
        }

    def fresh(self, wanted: str, key: object = None) -> str:
        """A name for a helper of the module. Asked twice for one key: the same."""
        if key is not None and key in self._by_key:
            return self._by_key[key]
        name = wanted
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        if key is not None:
            self._by_key[key] = name
        return name

    def bundle(self, bundle: Bundle) -> str:
        """The array of a bundle: one made before the loop and one that adds to it are the same."""
        return self.fresh(bundle.name, (bundle.name, bundle.stages))

    def every(self, state: str) -> str:
        """A state's array over time, with its start in front."""
        return self.fresh(f"{state}_all", ("every", state))

    # --- values

    def name_of(self, place: str) -> Callable[[Leaf], str]:
        """What a value, an adjoint or what comes from outside is called at a place."""
        index = _INDEX.get(place, "")

        def name(leaf: Leaf) -> str:
            match leaf:
                case Value(name=name, lag=lag):
                    return self._value(name, lag, place, index)
                case Adjoint(name=name) if name in self.equal:
                    return self.name_of(place)(self.equal[name])
                case Adjoint(name=name):
                    return f"d_{name}" + index * (self._adjoint_extent[name] != ONE)
                case Outside(name=name):
                    return ("dy" if len(self.graph.outputs) == 1 else f"dy.{name}") + index

        return name

    def _value(self, name: str, lag: int, place: str, index: str) -> str:
        graph = self.graph
        if name in graph.static:
            return name
        if name in self.parts:
            return self.parts[name]
        if name in graph.inputs or name in graph.targets:
            return self.now[name] if place == SINGLE else name + index
        if lag:
            return self.previous[name] + index
        return name if self._extent[name] == ONE else name + index

    def lives_as_long(self, adjoint: str, other: str) -> bool:
        """Whether an adjoint is there wherever another one is read."""
        return self._adjoint_extent[adjoint] != ONE or self._adjoint_extent[other] == ONE

    def is_array(self, stage: str) -> bool:
        """Whether a stage's values at all steps are kept in one array."""
        return self._extent[stage] != ONE

    # --- expressions

    def speller(self, place: str) -> Speller:
        speller = Speller(self.graph.shapes, self.graph.static, self.name_of(place), all_steps=place == WHOLE)
        speller.helpers = self.helpers
        if place == EACH:
            speller.turned = self._turned_name
        return speller

    def product(self, stack: Stack, place: str) -> str:
        """A stack's product with its vector."""
        speller = self.speller(place)
        return speller.product(speller.spell(stack.vector), stack.name, turned=True).text

    def part(self, stages: tuple[str, ...], first: str, last: str, before: str) -> str:
        """Where the stages from `first` to `last` lie among `stages` side by side, as an index."""
        low, high = self.schedule.plan.extent(stages, first, last)
        return f"[{before}{size(low, tight=True)}:{size(high, tight=True)}]"

    def columns(self, block: Block, stages: tuple[str, ...], in_step: bool = False) -> str:
        """The adjoints of neighbouring stages of a block, side by side; of step t, or of all steps."""
        name = self.block_gradient[block]
        if block.stages[0] in self.equal:  # the only one of the block
            return self.name_of(EACH if in_step else WHOLE)(Adjoint(block.stages[0]))
        if len(stages) == len(block.stages):
            return f"{name}[t]" if in_step else name
        return name + self.part(block.stages, stages[0], stages[-1], "t, :, " if in_step else "..., ")

    # --- matrices that a loop reads transposed

    def _turned_name(self, matrix: str) -> str:
        return self._turned.setdefault(matrix, self.fresh(f"{matrix}_T", ("turned", matrix)))

    def turned_matrices(self) -> list[Line]:
        """Copies of the matrices that the loop reads transposed: BLAS is slow where a few rows meet A.T."""
        lines = []
        for matrix, name in self._turned.items():
            self.helpers.add("transposed")
            code = f"{name} = _transposed({matrix}) if {self.B} > 1 else {matrix}.T"
            lines.append(Line(code, "laid out as the loop reads it"))
        self._turned.clear()
        return lines
