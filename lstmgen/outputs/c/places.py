"""Where each array of a program lies in C, and what its pointers are called."""

from __future__ import annotations

from ...derivation.graph import Graph
from ...language.shapes import Dim, Shape
from ...schedule.program import (
    CARRY, CHUNK, FINAL, PARAMETER_ARRAY, ROW, STATE, STEP, STILL_ARRAY, SUM, TAPE, Array, Program, Spot,
)
from .names import Names, public
from .spelling import Speller, size, width

BY_ROW = frozenset({STEP, CHUNK, TAPE, STATE, FINAL, CARRY})  # that hold rows of several examples


class Places:
    """The names of one cell's arrays."""

    def __init__(self, program: Program, runtime: str):
        self.program, self.schedule = program, program.schedule
        self.graph: Graph = program.schedule.graph
        self.names = Names(runtime)
        self.names.claim(f"{symbol}" for symbol, _ in self.graph.dims)
        self.names.claim(name for name in self.graph.shapes if name not in self.sizes())
        for name, array in program.arrays.items():
            self.names.of(name, self.wanted(array))
        self.entry, self.example = self.names.of(".entry", "j"), self.names.of(".example", "m")
        self.head = self.names.of(".head", "head")
        self.members = {
            (entry.name, str(member.first), member.shape): member.name
            for entry in self.schedule.parameters for member in entry.members
        }
        self.stages = self._stages_side_by_side()

    def sizes(self) -> list[str]:
        return [symbol for symbol, _ in self.graph.dims]

    def wanted(self, array: Array) -> str:
        """The name that an array of the program would like."""
        kind, _, rest = array.name.partition(".")
        outputs = self.graph.outputs
        match kind:
            case _ if not rest:
                return kind
            case "d":
                return f"d_{rest}"
            case "dy":
                return "dy" if len(outputs) == 1 else f"dy_{rest}"
            case "next":
                return f"d_{rest}_next"
            case "late":
                return f"d_{rest}_late"
            case "later":
                return f"d_{rest}_sent"
            case "block":
                stages = self.schedule.plan.blocks[int(rest)].stages
                return f"d_{stages[0]}" if len(stages) == 1 else "d_pre"
            case "temporary":
                return "part"
            case "pre":
                return "pre"
            case _:
                return "_".join([kind, *rest.split(".")])[:40]

    def _stages_side_by_side(self) -> dict[tuple[str, str, Shape], str]:
        """The stage whose value, or adjoint, lies in a part of an array."""
        found = {}
        plan = self.schedule.plan
        for index, block in enumerate(plan.blocks):
            for stage in block.stages:
                low, _ = plan.extent(block.stages, stage, stage)
                found[f"block.{index}", str(low), self.graph.shapes[stage]] = f"d_{stage}"
        for name in self.program.arrays:
            kind, _, rest = name.partition(".")
            stages = tuple(rest.split("."))
            if rest and kind not in ("d", "dy", "next", "late", "later", "block", "temporary", "sum", "gradient", "sent"):
                if all(stage in self.graph.shapes for stage in stages):
                    for stage in stages:
                        low, _ = plan.extent(stages, stage, stage)
                        found[name, str(low), self.graph.shapes[stage]] = f"{stage}_sum"
        return found

    # --- sizes

    def symbol(self, symbol: str) -> str:
        return self.names.of(symbol, symbol)

    def size(self, dim: Dim) -> str:
        return size(dim, self.symbol)

    def width(self, shape: Shape) -> str:
        return width(shape, self.symbol)

    def factor(self, shape: Shape) -> str:
        """A width as a factor."""
        text = self.width(shape)
        return f"({text})" if " + " in text or "*" in text else text

    # --- arrays

    def identifier(self, array: str) -> str:
        return self.names.given[array]

    def lifetime(self, array: str) -> str:
        return self.program.arrays[array].lifetime

    def part_name(self, spot: Spot) -> str:
        """What a part of an array is called: by its stage or member where it has one."""
        key = spot.array, str(spot.low), spot.shape
        kind, _, rest = spot.array.partition(".")
        if key in self.stages:
            return self.stages[key]
        if kind in ("sum", "gradient") and (rest, *key[1:]) in self.members:
            return f"{kind}_{self.members[rest, key[1], key[2]]}"
        if key in self.members and self.lifetime(spot.array) == PARAMETER_ARRAY:
            return self.members[key]
        if spot.low == Dim() and spot.shape == self.program.arrays[spot.array].shape:
            return self.identifier(spot.array)
        return f"{self.identifier(spot.array)}_part"

    def pointer(self, spot: Spot) -> str:
        """The name of the pointer to a spot of one example."""
        wanted = self.part_name(spot)
        lifetime = self.lifetime(spot.array)
        if lifetime == PARAMETER_ARRAY and wanted in self.names.given:  # a parameter of the spec, or a stored one
            return self.names.given[wanted]
        if spot.lag:
            wanted += "_prev"
        if lifetime in BY_ROW:
            wanted += f"_{self.example}"
        elif lifetime in (ROW, SUM, STILL_ARRAY):
            wanted += "_row"
        return self.names.of(("pointer", spot), wanted)

    def local(self, spot: Spot) -> str:
        """The name of one entry of a spot."""
        return self.names.of(("local", spot), self.part_name(spot)) if not self.is_own(spot) else self.identifier(spot.array)

    def is_own(self, spot: Spot) -> bool:
        return self.part_name(spot) == self.identifier(spot.array) and not spot.lag

    def base(self, array: str) -> str:
        """The array itself."""
        kind, _, rest = array.partition(".")
        lifetime = self.lifetime(array)
        if lifetime == PARAMETER_ARRAY:
            return f"grads->{public(rest)}" if kind == "gradient" else f"work->{self.identifier(array)}"
        return f"{'work' if lifetime == STILL_ARRAY else 'slice'}->{self.identifier(array)}"

    def address(self, spot: Spot, example: str = "") -> str:
        """A pointer to the first row of a statement's rows, or to that of one example."""
        lifetime = self.lifetime(spot.array)
        text = self.base(spot.array)
        row = ""
        if lifetime in (TAPE, STATE):
            row = "row" if lifetime == TAPE or spot.lag else "row + slice->count"
        elif lifetime == CHUNK:
            row = "chunk_row"
        if lifetime in BY_ROW:
            whole = f"{row} + {example}" if row and example else row or example
            if whole:
                factor = self.factor(self.program.arrays[spot.array].shape)
                rows = f"({whole})" if " " in whole else whole
                text += f" + {rows}" if factor == "1" else f" + {rows} * {factor}"
        return text if spot.low == Dim() else f"{text} + {self.size(spot.low)}"

    def stride(self, spot: Spot) -> str:
        """How many entries lie from one example to the next."""
        return self.width(self.program.arrays[spot.array].shape)

    def speller(self, names: dict[str, str]) -> Speller:
        return Speller(names.__getitem__, self.symbol)
