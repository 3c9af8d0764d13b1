"""A loop over time as `lax.scan`: a function of one step, and the call that runs it over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..numpy.lines import WIDTH, Line, as_tuple, indented, unpacked

BLANK = Line("")


@dataclass(frozen=True)
class Scan:
    """What goes through a scan. Arrays over time are cut into steps on the way in, and joined on the way out."""

    function: str  # the name of one step's function
    carry: Sequence[str]  # what a step gets from the one before
    carry_next: Sequence[str]  # the same, as it leaves the step
    carry_start: str  # what the first step gets
    record: str  # the named tuple of the carry; none: a plain tuple
    carry_end: str  # on the left of the call: what the last step hands on
    taken: Sequence[tuple[str, str]]  # over time: the name in the step, and the array
    given: Sequence[str]  # over time: values that leave the step, under the same name
    body: Sequence[Line]
    steps: str  # the number of steps, if nothing that is taken tells it
    options: str = ""
    held: tuple[str, str] = ("before", "now")  # the names of the function's arguments

    def lines(self) -> list[Line]:
        before, now = self.held
        inside = [Line(f"{unpacked(self.carry)} = {before}")] if self.carry else []
        if len(self.taken) > 1:
            inside += _in_rows([name for name, _ in self.taken], "", f" = {now}", bare=True)
        argument = "_" if not self.taken else self.taken[0][0] if len(self.taken) == 1 else now
        inside += [BLANK, *self.body] if len(inside) > 1 else self.body
        handed_on = f"{self.record}({', '.join(self.carry_next)})" if self.record else as_tuple(self.carry_next)
        inside += _in_rows(self.given, f"return {handed_on}, ", "")
        arrays = [array for _, array in self.taken]
        rest = "" if self.taken else f", length={self.steps}"
        left = _in_rows(self.given, f"{self.carry_end}, ", "") if self.given else [Line(f"{self.carry_end}, _")]
        call = _in_rows(arrays, f"lax.scan({self.function}, {self.carry_start}, ", f"{rest}{self.options})")
        return [
            BLANK, Line(f"def {self.function}({before if self.carry else '_'}, {argument}):"), *indented(inside), BLANK,
            *_assigned(left, call),
        ]


def _assigned(left: list[Line], right: list[Line]) -> list[Line]:
    """`left = right`, each of one line or of several."""
    return [*left[:-1], Line(f"{left[-1].code} = {right[0].code}"), *right[1:]]


def _in_rows(names: Sequence[str], before: str, after: str, bare: bool = False) -> list[Line]:
    """A tuple between two pieces of code; in rows where that is long. One name stands alone, and none is ()."""
    if len(names) < 2:
        return [Line(f"{before}{names[0] if names else '()'}{after}")]
    joined = ", ".join(names)
    whole = f"{before}{joined}{after}" if bare else f"{before}({joined}){after}"
    if len(whole) <= WIDTH - 8:
        return [Line(whole)]
    lines, row = [Line(f"{before}(")], ""
    for name in names:
        if len(row) + len(name) > WIDTH - 20:
            lines.append(Line(f"    {row.rstrip()}"))
            row = ""
        row += f"{name}, "
    return [*lines, Line(f"    {row.rstrip()}"), Line(f"){after}")]
