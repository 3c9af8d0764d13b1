"""The scenes of one cell: each is set once, when it is first asked for, and serves every claim."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from ..derivation.chain import Derivation, derive
from ..derivation.graph import Graph
from ..language.evaluate import Digits, Mismatch
from ..language.expressions import Call, Sum, values, walk
from ..numerics.points import choose_sizes
from .scene import NotFinite, Scene, Setting

POINTS = 2
MANY_POINTS = 24  # where a cell makes choices
CHOICES = {"where", "max", "min", "clip", "relu", "leaky_relu", "elu", "abs", "sign", "floor"}


class Scenes:
    """Sets scenes of one cell, and keeps them."""

    def __init__(self, graph: Graph, derivation: Derivation | None = None):
        self.graph = graph
        self.derivation = derivation or derive(graph)
        self.sizes = choose_sizes(graph, 2)
        self._usual: dict[int, Scene] = {}
        self._special: dict[tuple[str, int], Scene | None] = {}
        self._exact: dict[tuple[int, int], Scene] = {}

    def usual(self, steps: int) -> Scene:
        """A scene of so many steps; raises `NotFinite`."""
        if steps not in self._usual:
            self._usual[steps] = Scene(self.derivation, self._setting(steps))
        return self._usual[steps]

    def small(self, steps: int) -> Scene | None:
        """One point of few decimal places with every size 1; None where none is finite."""
        sizes = {symbol: 1 for symbol, _ in self.graph.dims}
        return self._finite("small", Setting(steps, 1, sizes, places=2))

    def from_zero(self, steps: int) -> Scene | None:
        """A scene with initial states of zero; None where none is finite."""
        return self._finite("from zero", replace(self._setting(steps), zero_states=True))

    def without_peepholes(self, steps: int) -> Scene | None:
        """A scene with peepholes of zero; None where none is finite."""
        return self._finite("without peepholes", replace(self._setting(steps), zero=self.peepholes))

    def exact(self, scene: Scene, point: int) -> Scene:
        """One point of a scene, in 90 digits."""
        key = id(scene), point
        if key not in self._exact:
            setting = replace(scene.setting, keep=point, redraws=scene.redraws)
            self._exact[key] = Scene(self.derivation, setting, self.digits)
        return self._exact[key]

    @cached_property
    def digits(self) -> Digits:
        """The arithmetic of exact scenes."""
        return Digits()

    def _setting(self, steps: int) -> Setting:
        return Setting(steps, MANY_POINTS if self.chooses else POINTS, self.sizes, wide=self.chooses)

    def _finite(self, kind: str, setting: Setting) -> Scene | None:
        key = kind, setting.steps
        if key not in self._special:
            try:
                self._special[key] = Scene(self.derivation, setting)
            except (NotFinite, Mismatch, ValueError):
                self._special[key] = None
        return self._special[key]

    @cached_property
    def chooses(self) -> bool:
        """Whether the cell takes one branch or another: then points have to take both."""
        return any(
            isinstance(node, Call) and node.function in CHOICES
            for stage in self.graph.stages
            for node in walk(stage.expression)
        )

    @cached_property
    def peepholes(self) -> tuple[str, ...]:
        """Parameters through which an activation's argument sees a state that is no output."""
        graph = self.graph
        found: dict[str, None] = {}
        inner = set(graph.states) - set(graph.outputs)
        for stage in graph.stages:
            if stage.name == f"{stage.owner}_pre":
                terms = stage.expression.terms if isinstance(stage.expression, Sum) else (stage.expression,)
                for term in terms:
                    names = {value.name for value in values(term)}
                    if names & inner and len(names) == 2:
                        found.update(dict.fromkeys(names & set(graph.parameters)))
        return tuple(found)
