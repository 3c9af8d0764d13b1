r"""Formulas broken into lines that fit the page, by an estimate of their width in TeX."""

from __future__ import annotations

import re

BREAK = "\x1f"  # marks where a line may end; followed by a digit: how deep in parentheses


def plain(text: str) -> str:
    """The formula without the marks where a line may end."""
    return re.sub(BREAK + "[0-9]", "", text)


def broken(text: str, first: float, others: float) -> list[str]:
    """The formula in lines of at most so many points; lines end where it is not nested deeply."""
    lines: list[str] = []
    limit = first
    pieces = _pieces(text)
    while pieces:
        count = _longest_line(pieces, limit)
        line = "".join(piece for _, piece in pieces[:count])
        lines.append("{}" + line if lines else line)  # so that a sign at the beginning is a binary one
        pieces = pieces[count:]
        limit = others
    return lines


def _pieces(text: str) -> list[tuple[int, str]]:
    """The pieces between the marks, each with the depth of the mark before it."""
    head, *rest = text.split(BREAK)
    return [(0, head)] + [(int(piece[0]), piece[1:]) for piece in rest]


def _longest_line(pieces: list[tuple[int, str]], limit: float) -> int:
    """How many pieces go on one line: up to the shallowest break that leaves the line at least half full."""
    widths, used = [], 0.0
    for _, piece in pieces:
        used += width(piece)
        widths.append(used)
    if used <= limit or len(pieces) == 1:
        return len(pieces)
    fitting = [count for count in range(1, len(pieces)) if widths[count - 1] <= limit] or [1]
    full = [count for count in fitting if widths[count - 1] >= 0.4 * limit] or fitting
    return min(full, key=lambda count: (pieces[count][0], -count))


_LETTERS = {
    **dict.fromkeys("ijl", 4.2), **dict.fromkeys("frst", 5.0), **dict.fromkeys("mw", 9.4),
    **dict.fromkeys("abcdeghknopquvxyz", 6.2), **dict.fromkeys("ABCDEFGHKLNOPQRSTUVXYZ", 9.0),
    **dict.fromkeys("IJ", 6.6), **dict.fromkeys("MW", 11.8), **dict.fromkeys("0123456789", 5.6),
    **dict.fromkeys("()[]", 4.4), **dict.fromkeys(",;.", 4.6), **dict.fromkeys("+-", 13.4),
    **dict.fromkeys("=<>", 15.0), ":": 9.0, "/": 5.6, " ": 0.0, "'": 3.0, "&": 12.0,
}
_COMMANDS = {
    r"\odot": 13.6, r"\le": 15.0, r"\ge": 15.0, r"\,": 2.0, r"\cdot": 8.0, r"\tanh": 24.5, r"\exp": 20.0,
    r"\log": 17.5, r"\sin": 16.5, r"\cos": 18.0, r"\max": 23.0, r"\min": 21.5, r"\sqrt": 10.0, r"\sum": 14.0,
    r"\langle": 4.6, r"\rangle": 4.6, r"\lvert": 3.6, r"\rvert": 3.6, r"\lfloor": 5.4, r"\rfloor": 5.4,
    r"\bigl": 1.2, r"\bigr": 1.2, r"\Bigl": 3.2, r"\Bigr": 3.2, r"\bm": 0.0, r"\star": 6.0, r"\qquad": 22.0,
    r"\mathsf": 0.0, r"\mathrm": 0.0, r"\mathbf": 0.0, r"\operatorname": 2.0, r"\text": 0.0, r"\mathcal": 0.0,
    r"\displaystyle": 0.0, r"\textstyle": 0.0, r"\bar": 0.0, r"\hat": 0.0, r"\tilde": 0.0, r"\bigr|": 3.0,
}
_WIDTH_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|.", re.DOTALL)


def width(text: str) -> float:
    """An upper estimate of the width of a formula at 11 pt, in points."""
    if text.startswith(r"\by{"):
        return 0.86 * _width(_WIDTH_TOKEN.findall(text)) + 8.0  # a note is small, but has a distance from the formula
    return _width(_WIDTH_TOKEN.findall(_MATRIX.sub(_widest_row, plain(text))))


_MATRIX = re.compile(r"\\begin\{(?:small|p)matrix\}(.*?)\\end\{(?:small|p)matrix\}")


def _widest_row(matrix: re.Match[str]) -> str:
    """Of a matrix, the row that is as wide as all of it."""
    return max(matrix[1].split(r"\\"), key=lambda row: _width(_WIDTH_TOKEN.findall(row))).replace("&", r"\,\,")


def _width(tokens: list[str]) -> float:
    whole, at, raised = 0.0, 0, [0.0, 0.0]
    while at < len(tokens):
        token = tokens[at]
        if token in "^_":
            script, at = _argument(tokens, at + 1)
            raised[token == "_"] = 0.78 * _width(script) + 0.6
            if at >= len(tokens) or tokens[at] not in "^_":
                whole += max(raised)  # one above the other
                raised = [0.0, 0.0]
            continue
        if token in (r"\frac", r"\tfrac"):
            above, at = _argument(tokens, at + 1)
            below, at = _argument(tokens, at)
            whole += max(_width(above), _width(below)) + 3.0
            continue
        if token in (r"\eqref", r"\by"):
            _, at = _argument(tokens, at + 1) if token == r"\eqref" else (None, at + 1)
            whole += 20.0
            continue
        if token == r"\fork":
            _, at = _argument(tokens, at + 1)
            continue
        whole += 0.0 if token in "{}" else _LETTERS.get(token, _COMMANDS.get(token, 7.5))
        at += 1
    return whole


def _argument(tokens: list[str], at: int) -> tuple[list[str], int]:
    """What a command applies to, and where it ends."""
    while at < len(tokens) and tokens[at] == " ":
        at += 1
    if at >= len(tokens) or tokens[at] != "{":
        return tokens[at : at + 1], at + 1
    depth, end = 0, at
    while end < len(tokens):
        depth += (tokens[end] == "{") - (tokens[end] == "}")
        end += 1
        if depth == 0:
            break
    return tokens[at + 1 : end - 1], end
