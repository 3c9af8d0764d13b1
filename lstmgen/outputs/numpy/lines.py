"""Lines of the module's code: how statements of several terms, comments and sizes are laid out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ...derivation.chain import Key
from ...language.shapes import Dim, Shape
from ...schedule.records import SizeSource

WIDTH = 100
LONGEST = 120  # of a line with its comment; beyond, the comment stands above
COMMENT_COLUMN = 58


About = str | Key  # a stage's name; `d_` and the name of an adjoint; the key of a contribution


@dataclass(frozen=True)
class Line:
    """One line of code and the comment behind it."""

    code: str
    comment: str = ""
    about: tuple[About, ...] = ()  # what it computes, for an output that shows code beside equations


@dataclass(frozen=True)
class Piece:
    """One term of a sum, as code, and the readers that it comes from."""

    text: str
    readers: str = ""
    numbers: tuple[int, ...] = ()  # of adjoints that are read in it under the name of another that they equal
    about: tuple[About, ...] = ()

    @property
    def comment(self) -> str:
        return f"{numbered(self.numbers)} {self.readers}".strip()


def numbered(numbers: Iterable[int]) -> str:
    """`(1), (2)`"""
    return ", ".join(f"({number})" for number in numbers)


def indented(lines: Iterable[Line]) -> list[Line]:
    return [replace(line, code="    " + line.code) for line in lines]


def statement(left: str, pieces: list[Piece], number: str) -> list[Line]:
    """`left = a + b + ...`, one line per piece with its comment; one line where there is one piece."""
    if len(pieces) == 1:
        return [Line(f"{left} = {pieces[0].text}", f"{number} {pieces[0].comment}".strip(), pieces[0].about)]
    lines = [Line(f"{left} = (")]
    for index, piece in enumerate(pieces):
        sign = "" if not index else "- " if piece.text.startswith("-") else "+ "
        lines.append(Line(f"    {sign}{piece.text.removeprefix('-') if index else piece.text}", piece.comment,
                          piece.about))
    return [*lines, Line(")")]


def wrapped_unpacking(names: list[str], right: str) -> list[Line]:
    """`a, b, c = right`, in rows where that is long."""
    whole = f"{', '.join(names)} = {right}"
    if len(whole) <= WIDTH - 8:
        return [Line(whole)]
    lines, row = [Line("(")], ""
    for name in names:
        if len(row) + len(name) > WIDTH - 20:
            lines.append(Line(f"    {row.rstrip()}"))
            row = ""
        row += f"{name}, "
    return [*lines, Line(f"    {row.rstrip()}"), Line(f") = {right}")]


def layout(lines: list[Line], indent: int) -> list[str]:
    """The lines with their comments, which begin in one column; a fork stands apart."""
    return [line.code for line in laid_out(lines, indent)]


def laid_out(lines: list[Line], indent: int) -> list[Line]:
    """The same, each with what it is about; comments are part of the code."""
    return list(_laid_out(lines, indent))


def _laid_out(lines: list[Line], indent: int) -> Iterator[Line]:
    before: str | None = None  # the line above
    for line in lines:
        code = " " * indent + line.code
        begins = line.code.lstrip().startswith(("# (", "for t in"))
        if before is not None and (
                (begins and not before.endswith(":")) or (before == ")" and line.code.strip() != "")):
            yield Line("")
        if line.comment:
            beside = f"{code:<{COMMENT_COLUMN}}  # {line.comment}"
            if len(beside) > LONGEST:
                yield Line(code[: len(code) - len(code.lstrip())] + f"# {line.comment}", about=line.about)
            else:
                code = beside
        yield Line(code, about=line.about)
        before = code.strip()


def rows(names: list[str]) -> list[str]:
    """Names in rows that fit: `a, b, c,`."""
    found = [""]
    for name in names:
        if len(found[-1]) + len(name) > WIDTH - 16:
            found.append("")
        found[-1] = f"{found[-1]} {name},".strip()
    return found


def definition(name: str, arguments: list[str], result: str) -> list[str]:
    """`def name(a: A, b: B) -> C:`, in rows where that is long."""
    inside = ", ".join(arguments)
    whole = f"def {name}({inside}) -> {result}:"
    if len(whole) <= LONGEST:
        return [whole]
    inner = [inside] if len(inside) <= LONGEST - 4 else rows(arguments)
    return [f"def {name}(", *(f"    {row}" for row in inner), f") -> {result}:"]


def parameters_read(names: Sequence[str]) -> list[str]:
    """Variables for parameters: in one line, or one line for each where that is long."""
    whole = f"{', '.join(names)} = " + ", ".join(f'params["{name}"]' for name in names)
    return [whole] if names and len(whole) <= LONGEST - 4 else [f'{name} = params["{name}"]' for name in names]


def loop_over(names: list[str]) -> list[str]:
    """`for name in ("a", "b"):`, in rows where that is long."""
    whole = f"for name in ({', '.join(names)}):"
    if len(whole) <= WIDTH:
        return [whole]
    return ["for name in (", *(f"    {row}" for row in rows(names)), "):"]


def as_tuple(names: Iterable[str]) -> str:
    """`(a, b)`; of one name, too."""
    listed = [*names]
    return f"({', '.join(listed)}{',' if len(listed) == 1 else ''})"


def unpacked(names: Sequence[str]) -> str:
    """The left side that a tuple is unpacked to: `a, b`, but `(a,)`."""
    return ", ".join(names) if len(names) > 1 else as_tuple(names)


def size(dim: Dim, tight: bool = False) -> str:
    """A size as code: `2 * H`, or `2*H` inside an index."""
    return str(dim).replace(" ", "") if tight else dim.written(times=" * ")


def solved(length: str, found: SizeSource) -> str:
    """The size that the length of an axis gives: `(length - H) // 2`."""
    code = length
    if found.rest != Dim():
        rest = size(found.rest)
        code += f" - ({rest})" if " + " in rest else f" - {rest}"
    factor = size(found.factor)
    if factor == "1":
        return code
    below = f"({factor})" if " " in factor else factor
    return f"({code}) // {below}" if found.rest != Dim() else f"{code} // {below}"


def axes(shape: Shape, *leading: str) -> str:
    """An array's shape as code: `(T, B, H)`."""
    return as_tuple([*leading, *(size(dim) for dim in shape)])


def told(shape: Shape, *leading: str) -> str:
    """An array's shape for people."""
    return as_tuple([*leading, *(str(dim) for dim in shape)])
