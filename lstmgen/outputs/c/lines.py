"""The functions that work on rows of examples, and the calls of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...language.expressions import Expression, Number, Size, Value, children, values
from ...language.shapes import Shape
from ...language.text import SUM
from ...schedule.nests import read_spots
from ...schedule.program import (
    LOCAL, AddOuter, Entries, Loop, Multiply,
    Operate, Rows, Spot,
)
from .functions import NO_CALLS, OF_ONE_HEAD, OPERATIONS
from .places import BY_ROW, Places
from .spelling import real_text

COMMENT_COLUMN = 76
WIDEST = 116


@dataclass(frozen=True)
class Function:
    """One C function that goes over rows, and the call of it."""

    text: str
    call: str


class RowsPrinter:
    """One `Rows` as a C function."""

    def __init__(self, places: Places, rows: Rows, name: str, what: str, is_still: bool):
        self.places, self.rows, self.name, self.what, self.is_still = places, rows, name, what, is_still
        self.pointers: dict[str, str] = {}  # declarations inside the loop over rows, by name
        self.outside: dict[str, str] = {}  # and before it
        self.symbols: set[str] = set()

    def function(self) -> Function:
        body: list[str] = []
        for group in self.rows.groups:
            body += self.loop(group) if isinstance(group, Loop) else self.operation(group)
        example = self.places.example
        before = list(self.outside.values())
        inside = [*self.pointers.values(), *body]
        text = "\n".join([*before, *inside])
        needs = [name for name in ("row", "chunk_row") if _mentions(text, name)]
        needs_slice = "slice->" in text
        arguments = "Work *work" if self.is_still else "const Work *work, Slice *slice"
        if _mentions(text, "grads"):
            arguments += ", const Grads *grads"
        given = "work" if self.is_still else "work, slice"
        given += ", grads" if _mentions(text, "grads") else ""
        if not self.is_still:
            arguments += "".join(f", isize {name}" for name in (*needs, "rows"))
            given += "".join(f", {name}" for name in (*needs, "rows"))
        lines = [f"/* {self.what} */", f"static void {self.name}({arguments}) {{"]
        sizes = [symbol for symbol in self.places.sizes() if _mentions(text, self.places.symbol(symbol))]
        if sizes:
            told = ", ".join(f"{self.places.symbol(each)} = work->{self.places.symbol(each)}" for each in sizes)
            lines.append(f"    const isize {told};")
        if not self.is_still:
            unused = [name for name, used in (("work", "work->" in text or sizes), ("slice", needs_slice)) if not used]
            lines += [f"    (void){name};" for name in unused]
        lines += [f"    {line}" for line in before]
        if self.is_still:
            lines += [f"    {line}" if line else "" for line in inside]
        else:
            lines.append(f"    for (isize {example} = 0; {example} < rows; {example}++) {{")
            lines += [f"        {line}" if line else "" for line in inside]
            lines.append("    }")
        lines.append("}")
        return Function("\n".join(lines), f"{self.name}({given});")

    # --- pointers

    def pointer(self, spot: Spot, writes: bool = False) -> str:
        """The name of a pointer to the spot, which is declared where it has to be."""
        places = self.places
        name = places.pointer(spot)
        by_row = places.lifetime(spot.array) in BY_ROW
        into = self.pointers if by_row else self.outside
        address = places.address(spot, places.example if by_row else "")
        constant = "" if writes or f"{name} = " in into.get(name, "") and not into[name].startswith("const") else "const "
        into[name] = f"{constant}real *{name} = {address};"
        return name

    # --- loops over entries

    def loop(self, group: Loop) -> list[str]:
        places, j = self.places, self.places.entry
        known: dict[Spot, str] = {}  # what this entry's loop has computed
        before: dict[str, str] = {}  # numbers that meet every entry
        lines: list[str] = []
        read_later = _read_after(group, self.places.program.spots)
        for index, entries in enumerate(group.entries):
            names = {}
            for term in entries.terms:
                for value in values(term.expression):
                    names[value.name] = self.entry(value, group.shape, known, before)
            lines += self.assignment(entries, names, known, entries.to in read_later[index])
        if not group.shape:
            return [*before.values(), *lines]
        head = f"SIMD for (isize {j} = 0; {j} < {places.width(group.shape)}; {j}++) {{"
        whole = [*before.values(), head, *(f"    {line}" for line in lines), "}"]
        return ["{", *(f"    {line}" for line in whole), "}"] if before else whole

    def entry(self, value: Value, shape: Shape, known: Mapping[Spot, str], before: dict[str, str]) -> str:
        spot = self.places.program.spots[value.name]
        if spot in known:
            return known[spot]
        if not shape:
            return f"{self.pointer(spot)}[0]"
        if spot.shape:
            return f"{self.pointer(spot)}[{self.places.entry}]"
        name = self.places.names.of(("scalar", spot), self.places.part_name(spot) + "_now")
        before[name] = f"const real {name} = {self.pointer(spot)}[0];"
        return name

    def assignment(self, entries: Entries, names: dict[str, str], known: dict[Spot, str], is_read: bool) -> list[str]:
        places = self.places
        is_local = places.lifetime(entries.to.array) == LOCAL
        index = f"[{places.entry}]" if entries.to.shape else "[0]"
        speller = places.speller(names)
        terms = [(speller(term.expression, SUM), term.note) for term in entries.terms] or [("0", "")]
        number = f"({entries.number})" if entries.number else ""
        if entries.adds:
            return _laid_out(f"{self.pointer(entries.to, True)}{index} += ", terms, number)
        if not is_local and not is_read:
            return _laid_out(f"{self.pointer(entries.to, True)}{index} = ", terms, number)
        local = places.local(entries.to)
        lines = _laid_out(f"const real {local} = ", terms, number)
        if not is_local:
            lines.append(f"{self.pointer(entries.to, True)}{index} = {local};")
        known[entries.to] = local
        return lines

    # --- operations

    def operation(self, operate: Operate) -> list[str]:
        places, arguments = self.places, operate.arguments
        y = self.pointer(operate.to, True)
        names = [self.pointer(spot) for spot in arguments]
        comment = f"  // ({operate.number})" if operate.number else ""
        if operate.function in NO_CALLS:
            return [line + comment for line in self.columns(operate, y, names)]
        if not arguments:
            return [self.made(operate, y) + comment]
        shapes = [spot.shape for spot in arguments]
        inner = OF_ONE_HEAD.get(operate.function)
        heads = "" if inner is None or len(shapes[0]) == inner[0] else places.size(shapes[0][0])
        if heads and inner:
            y, *names = (self.of_head(name, shape) for name, shape in zip((y, *names), (operate.to.shape, *shapes)))
            shapes = [shape[-axes:] for shape, axes in zip(shapes, inner)]
        first, last, to = shapes[0], shapes[-1], operate.to.shape
        given = {
            "y": y, "a": names[0], "b": names[-1], "p": self.literal(operate) if operate.numbers else "",
            "n": places.width(first[:-1]), "m": places.size(first[-1]) if first else "1", "e": places.width(first),
            "l": places.size(last[-1]) if last else "1", "r": places.size(to[-1]) if to else "1",
        }
        if operate.function == "Fold":
            given["n"] = places.width(to[:-1])
        call = OPERATIONS[operate.function].format(**given) + ";" + comment
        head = places.head
        return [f"for (isize {head} = 0; {head} < {heads}; {head}++)", f"    {call}"] if heads else [call]

    def of_head(self, pointer: str, shape: Shape) -> str:
        """What a pointer points to, of the head in the loop."""
        return f"{pointer} + {self.places.head} * {self.places.factor(shape[1:])}"

    def made(self, operate: Operate, y: str) -> str:
        """The call that makes an array of sizes or of numbers alone."""
        entries = [f"R({real_text(each.value)})" for each in operate.numbers[1:] if isinstance(each, Number)]
        given = {"y": y, "w": self.places.width(operate.to.shape), "r": self.places.size(operate.to.shape[-1]),
                 "entries": ", ".join(entries)}
        return OPERATIONS[operate.function].format(**given) + ";"

    def literal(self, operate: Operate) -> str:
        expression = operate.numbers[0]
        if isinstance(expression, Number):
            whole = operate.function in ("repeat", "Fold")
            return str(expression.value) if whole else f"R({real_text(expression.value)})"
        return _size_text(expression, self.places)

    def columns(self, operate: Operate, y: str, names: list[str]) -> list[str]:
        """Parts of matrices, column by column."""
        places, to = self.places, operate.to.shape
        n, wide = places.width(to[:-1]), places.size(to[-1])
        match operate.function:
            case "concat":
                lines, low = [], "0"
                for spot, name in zip(operate.arguments, names):
                    part = places.size(spot.shape[-1])
                    lines.append(f"op_columns({y}, {low}, {wide}, {name}, 0, {part}, {n}, {part});")
                    low = part if low == "0" else f"{low} + {part}"
                return lines
            case "part" | "Slice":
                source, low = places.size(operate.arguments[0].shape[-1]), self.low(operate, wide)
                return [f"op_columns({y}, 0, {wide}, {names[0]}, {low}, {source}, {n}, {wide});"]
            case _:
                part = places.size(operate.arguments[0].shape[-1])
                low = self.low(operate, part)
                return [f"clear({y}, {places.width(to)});",
                        f"op_columns({y}, {low}, {wide}, {names[0]}, 0, {part}, {n}, {part});"]

    def low(self, operate: Operate, part: str) -> str:
        """Where a part begins: Slice says so, the others count parts."""
        first = _size_text(operate.numbers[0], self.places)
        if operate.function == "Slice":
            return first
        return f"{first} * ({part})"


def _mentions(text: str, name: str) -> bool:
    """Whether C reads a variable; `R(16)` is a macro, and no size that is called R."""
    import re

    return re.search(rf"(?<![\w>.]){name}\b(?!\()", text) is not None


def _read_after(group: Loop, spots: Mapping[str, Spot]) -> list[set[Spot]]:
    """For each statement of a loop, the spots that those after it read."""
    found: list[set[Spot]] = []
    later: set[Spot] = set()
    for entries in reversed(group.entries):
        found.append(set(later))
        later.update(spot for spot in read_spots(entries, spots) if not (entries.adds and spot == entries.to))
    return found[::-1]


def _size_text(expression: Expression, places: Places) -> str:
    """A size as an integer expression."""
    match expression:
        case Number(value=value):
            return str(value)
        case Size(symbol=symbol):
            return places.symbol(symbol)
    joint = " * " if type(expression).__name__ == "Product" else " + "
    return joint.join(_size_text(part, places) for part in children(expression))


def _laid_out(left: str, terms: list[tuple[str, str]], number: str) -> list[str]:
    """`left` term + term;  each with where it comes from beside it, on a line of its own if there are several."""
    noted = any(note for _, note in terms)
    if len(terms) == 1 or not noted:
        joined = terms[0][0] + "".join(
            f" - {text[1:]}" if text.startswith("-") else f" + {text}" for text, _ in terms[1:])
        note = " ".join(filter(None, (number, terms[0][1] if len(terms) == 1 else "")))
        return [_with_comment(line, comment) for line, comment in
                zip(*_broken(left + joined + ";", note))]
    lines = []
    for index, (text, note) in enumerate(terms):
        sign = "" if not index else "- " if text.startswith("-") else "+ "
        body = text[1:] if sign == "- " else text
        start = left if not index else " " * max(len(left) - 2, 4) + sign
        end = ";" if index == len(terms) - 1 else ""
        comment = " ".join(filter(None, (number if not index else "", note)))
        lines.append(_with_comment(start + body + end, comment))
    return lines


def _broken(line: str, comment: str) -> tuple[list[str], list[str]]:
    """A line that is too long, at its sums and products."""
    if len(line) <= WIDEST:
        return [line], [comment]
    depth, best = 0, -1
    for position, char in enumerate(line[:WIDEST - 8]):
        depth += (char in "([") - (char in ")]")
        if line[position:position + 3] in (" + ", " - ", " * ") and position > 40:
            best = position
    if best < 0:
        return [line], [comment]
    rest, comments = _broken(" " * 8 + line[best + 1:], "")
    return [line[:best], *rest], [comment, *comments]


def _with_comment(line: str, comment: str) -> str:
    return f"{line:<{COMMENT_COLUMN}}  // {comment}" if comment else line


def item_call(places: Places, item: Multiply | AddOuter) -> str:
    """One product as a call."""
    if isinstance(item, Multiply):
        function = "multiply_turned" if item.turned else "multiply"
        to, by = places.address(item.to), places.address(item.by)
        return (f"{function}(rows, &work->matrix_{places.identifier(item.matrix)}, {to}, {places.stride(item.to)}, "
                f"{by}, {places.stride(item.by)}, {int(item.adds)});" + (f" // {item.note}" if item.note else ""))
    left, right = places.address(item.left), places.address(item.right)
    n, k = places.width(item.left.shape), places.width(item.right.shape)
    sums = f"slice->outer_{places.identifier(item.matrix)}"
    return (f"add_outer(rows, {n}, {k}, is_on_its_side({k}, T * B), {sums}, {left}, {places.stride(item.left)}, "
            f"{right}, {places.stride(item.right)}, slice->space);")
