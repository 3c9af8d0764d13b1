"""What everything is called in the C of one cell: the spec's names first, ours beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable

# C, C++ (which includes the header) and what their libraries define as macros.
_KEYWORDS = frozenset(
    """
    auto break case char const continue default do double else enum extern float for goto if inline int long register
    restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
    alignas alignof and and_eq asm atomic bitand bitor bool catch char8_t char16_t char32_t class co_await co_return
    co_yield compl concept consteval constexpr constinit const_cast decltype delete dynamic_cast explicit export false
    friend mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected public reflexpr
    reinterpret_cast requires static_assert static_cast synchronized template this thread_local throw true try typeid
    typename using virtual wchar_t xor xor_eq typeof
    NULL EOF INFINITY NAN HUGE_VAL errno stdin stdout stderr assert complex imaginary I unix linux offsetof
    """.split()
)

# The cell's own functions and variables use these.
_OURS = frozenset(
    """
    real isize bits cell work slice row chunk_row rows steps batch count part parts io sums used base task context
    params inputs state outputs grads size_t ptrdiff_t int32_t int64_t uintptr_t main Cell Work Slice Matrix
    """.split()
)

def defined(text: str) -> tuple[str, ...]:
    """The functions, tables and types that C text defines at file scope, in order."""
    found: dict[str, None] = {}
    for match in re.finditer(r"^(?:static|INLINE|NOT_INLINE)\b[^=({]*?(\w+)(?:\[\w+\])*\s*[(=]", text, re.MULTILINE):
        found[match[1]] = None
    for match in re.finditer(r"^typedef [^({]*?(\w+)(?: __attribute__.*|\(.*\))?;", text, re.MULTILINE):
        found[match[1]] = None
    for kind, first, second in re.findall(r"\b(TILE|LINE)\((\d), (\d)\)", text):
        found[f"tile_{first}_{second}" if kind == "TILE" else f"line_{first}"] = None
    return tuple(found)


def public(name: str) -> str:
    """A name of the spec as a field of the header's structs."""
    return name + "_" if name in _KEYWORDS else name


class Names:
    """Gives each thing a name of its own."""

    def __init__(self, runtime: str):
        self.taken = {*_KEYWORDS, *_OURS, *defined(runtime), *re.findall(r"#define (\w+)\b(?!\()", runtime)}
        self.given: dict[object, str] = {}

    def of(self, key: object, wanted: str) -> str:
        """The name of `key`; the first time, the one that is wanted, if nothing has it."""
        if key not in self.given:
            name, count = wanted, 1
            while name in self.taken:
                count += 1
                name = f"{wanted}_{count}"
            self.taken.add(name)
            self.given[key] = name
        return self.given[key]

    def claim(self, keys: Iterable[str]) -> None:
        """The spec's own names choose first."""
        for key in keys:
            self.of(key, key)
