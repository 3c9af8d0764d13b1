"""Expressions as PyTorch: arrays are laid out as in the NumPy module, so most of an expression is the same text."""

from __future__ import annotations

from ...language import functions
from ...language.constants import is_constant
from ...language.expressions import ZERO, Call, Compare, Expression
from ...language.text import ATOM, PRODUCT, SUM
from ..numpy.functions import Code
from ..numpy.spelling import Speller, Spelled, filled, half_at_a_tie, is_fill, joined, only_adjoints
from .functions import BESIDE_NUMBER, TABLE

PACKAGE = "torch"  # what the table calls it; a spec may have a value of that name


class TorchSpeller(Speller):
    """Spells expressions for one place in the file."""

    like = ""  # a tensor of the right type, on the right device
    package = PACKAGE

    def product(self, vector: Spelled, matrix: str, turned: bool) -> Spelled:
        """A vector, as a row, times a matrix; of all steps and examples, PyTorch makes one product of two matrices."""
        return Spelled(f"{vector.inside(PRODUCT)} @ {matrix}{'.T' if turned else ''}", PRODUCT, 1, vector.moving)

    # ------------------------------------------------------------------ calls

    def _where(self, call: Call) -> Spelled:
        comparison, chosen, other = call.arguments
        assert isinstance(comparison, Compare)
        sides = (comparison.left, comparison.right)
        parts = self._together((*sides, chosen, other))
        left, right, first, second = parts
        if only_adjoints(chosen):  # a product reads less than `torch.where` does
            if other == ZERO:
                compared = f"({left.inside(SUM)} {comparison.relation} {right.inside(SUM)})"
                return joined(f"{first.inside(PRODUCT)} * {compared}", PRODUCT, parts)
            if other == half_at_a_tie(comparison, chosen):
                larger, smaller = (left, right) if comparison.relation == ">" else (right, left)
                self.helpers.add("if_larger")
                return joined(f"_if_larger({larger.text}, {smaller.text}, {first.text})", ATOM, parts)
        if all(map(is_constant, sides)):  # of two numbers Python makes a truth value, and no tensor
            left = Spelled(f"{self.like}.new_tensor({left.text})", ATOM, 0, False)
        text = (f"{self.package}.where({left.inside(SUM)} {comparison.relation} {right.inside(SUM)}, "
                f"{first.text}, {second.text})")
        if is_constant(chosen) and is_constant(other):
            text += f".to({self.like}.dtype)"  # two numbers have no type of their own
        return joined(text, ATOM, parts)

    def _pointwise(self, entry: functions.Pointwise, call: Call) -> Spelled:
        parts = self._together(call.arguments)
        numbers = [is_constant(argument) for argument in call.arguments]
        if all(numbers):
            return self._of_numbers(entry, parts)
        if entry.name == "clip":  # the smaller of c and the larger of a and b
            if numbers == [False, True, True]:
                a, low, high = (part.text for part in parts)
                return joined(f"{self.package}.clamp({a}, {low}, {high})", ATOM, parts)
            larger = self._extreme("max", parts[:2], numbers[:2])
            return self._extreme("min", [larger, parts[2]], [all(numbers[:2]), numbers[2]])
        return self._extreme(entry.name, parts, numbers) if entry.name in BESIDE_NUMBER else self.applied(entry, parts)

    def _extreme(self, name: str, parts: list[Spelled], numbers: list[bool]) -> Spelled:
        """The larger or the smaller of two, of which one or both may be numbers."""
        entry = functions.TABLE[name]
        assert isinstance(entry, functions.Pointwise)
        if all(numbers):
            return self._of_numbers(entry, parts)
        if any(numbers):
            a, b = reversed(parts) if numbers[0] else parts
            return joined(filled(self._renamed(BESIDE_NUMBER[name]), {"a": a, "b": b})[0], ATOM, parts)
        return self.applied(entry, parts)

    def _of_numbers(self, entry: functions.Pointwise, parts: list[Spelled]) -> Spelled:
        """A function of numbers alone, as a number: a tensor of float64 would make others of float32 wider."""
        self.helpers.add("number")
        tensors = [Spelled(f"_number({part.text})", ATOM, 0, False) for part in parts]
        return joined(f"float({self.applied(entry, tensors).text})", ATOM, parts)

    def array(self, maker: str, given: str) -> str:
        """Of the type and on the device of another tensor."""
        match maker:
            case "Array":
                return f"{self.like}.new_tensor({given})"
            case "ones":
                return f"{self.like}.new_ones({given})"
            case "triangle":
                return f"{self.like}.new_ones({given}, {given}).tril()"
        return f"{self.like}.new_ones({given}).diag()"

    def _contracted(self, call: Call) -> Spelled | None:
        return None  # `torch.einsum` costs more calls than it saves

    def _copied(self, call: Call) -> Spelled | None:
        """A number in every entry of an array; None where it is no number that is copied."""
        sizes: list[str] = []
        inner: Expression = call
        while isinstance(inner, Call) and is_fill(inner):
            inner, size = inner.arguments
            sizes.insert(0, self.spell(size).text)
        if not is_constant(inner):
            return None
        shape = f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"
        return Spelled(f"{self.like}.new_full({shape}, {self.spell(inner).text})", ATOM, len(sizes), False)

    def _code(self, function: str) -> str:
        return self._noted(TABLE[function])

    def _noted(self, code: Code) -> str:
        if code.helper:
            self.helpers.add(code.helper)
        return self._renamed(code.call)

    def _renamed(self, text: str) -> str:
        return text if self.package == PACKAGE else text.replace(f"{PACKAGE}.", f"{self.package}.")
