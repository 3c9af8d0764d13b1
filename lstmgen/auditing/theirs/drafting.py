"""A layout as the text of a layout file."""

from __future__ import annotations

from collections.abc import Iterable

from .blocks import spelled
from .planning import Plan
from .records import EACH, FIRST, GIVEN, NUMBER, PARAMETER, PARAMETERS, Layout, Ref


def layout_text(plan: Plan, spec: str = "") -> str:
    """The whole layout of a plan, to be saved and edited. Read again, it gives the same plan."""
    layout = plan.layout
    lines = [f"spec: {spec or layout.spec}"] if spec or layout.spec else []
    if plan.forward:
        lines.append(f"forward: {plan.forward}")
        if plan.gives:
            lines.append(f"gives: [{', '.join(_result(name) for name in plan.gives)}]")
    lines += [f"backward: {plan.backward}", f"vectors: {layout.vectors}", f"batch: {layout.batch}"]
    if layout.time not in (None, FIRST):
        lines.append(f"time: {layout.time}")
    if layout.steps == EACH:
        lines.append(f"steps: {layout.steps}")
    lines += _parameters(layout)
    names = _names(plan)
    if names:
        lines.append(f"names: {_braces([(theirs, str(ref)) for theirs, ref in names.items()])}")
    if layout.answer is not None:
        lines.append(f"gradients: [{', '.join(_result(name) for name in layout.answer)}]")
    elif layout.gradients:
        lines.append(f"gradients: {_braces(layout.gradients)}")
    return "\n".join(lines) + "\n"


def _result(name: str) -> str:
    return name if name and not name.startswith("_") else "_"


def _parameters(layout: Layout) -> list[str]:
    pairs = [(theirs, spelled(block)) for theirs, block in layout.parameters or ()]
    one = f"parameters: {_braces(pairs)}"
    if len(one) <= 120:
        return [one]
    return ["parameters:", *(f"  {_quoted(theirs)}: {_quoted(block)}" for theirs, block in pairs)]


def _names(plan: Plan) -> dict[str, Ref]:
    """What the names of arguments and results stand for, where they are not our own."""
    found = dict(plan.layout.names) | {name: ref for name, ref in plan.meant if name != ref.name}
    for call in (*plan.calls,):
        found |= {argument.text: ref for argument, ref in (*call.make, *call.arguments) if _is_telling(argument.text, ref)}
    return found


def _is_telling(text: str, ref: Ref) -> bool:
    return ref.kind not in (GIVEN, NUMBER, PARAMETER, PARAMETERS) and text != str(ref)


def _braces(pairs: Iterable[tuple[str, str]]) -> str:
    return f"{{{', '.join(f'{_quoted(key)}: {_quoted(value)}' for key, value in pairs)}}}"


def _quoted(text: str) -> str:
    """In quotes where a brace or a bracket would mean something else to YAML."""
    return f'"{text}"' if any(char in text for char in "[]{},;:#") else text


