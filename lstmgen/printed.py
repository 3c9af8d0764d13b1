"""How records show themselves: as the text that a command prints, as HTML in a notebook, and in a line as a `repr`."""

from __future__ import annotations

import re
from dataclasses import Field
from html import escape
from typing import Any, ClassVar

WIDTH = 100  # characters of a line where no terminal says how wide it is
LONGEST = 120  # characters of a text inside a `repr`

# What the styles of a terminal are in HTML, by the number of the escape sequence.
_STYLES = {"1": "font-weight: bold", "36": "color: teal", "90": "color: gray"}
_STYLED = re.compile(r"\x1b\[(\d+)m(.*?)\x1b\[0m", re.DOTALL)
_PRE = "line-height: 1.3; white-space: pre; overflow-x: auto"


class Printed:
    """A record that prints as text. What a subclass gives is `styled`."""

    def styled(self) -> str:
        """The text, with the colours of a terminal."""
        raise NotImplementedError

    def __str__(self) -> str:
        return unstyled(self.styled())

    def _repr_html_(self) -> str:
        return as_html(self.styled())


class Brief:
    """A record with a `repr` that is cut where it is long: one that holds many others would fill pages."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__dataclass_fields__)
        return shortened(f"{type(self).__name__}({parts})")


def unstyled(text: str) -> str:
    """Without the colours of a terminal."""
    return _STYLED.sub(r"\2", text)


def as_html(text: str) -> str:
    """A text for a terminal, as a block of HTML: no character of it is taken for markup."""
    return f'<pre style="{_PRE}">{_STYLED.sub(_span, escape(text))}</pre>'


def _span(match: re.Match[str]) -> str:
    style = _STYLES.get(match[1])
    return f'<span style="{style}">{match[2]}</span>' if style else match[2]


def shortened(text: str, most: int = LONGEST) -> str:
    """A text in one line of at most so many characters; what does not fit is left out at its end."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def counted(count: int, noun: str) -> str:
    """`1 gradient`, `2 gradients`."""
    return f"{count} {noun}{'s' * (count != 1)}"
