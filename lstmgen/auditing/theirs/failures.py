"""What went wrong while their code ran, in a sentence: where in their file, how it was called, with which shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..given import Data
from .adapting import Adapter
from .planning import Called
from .records import NUMBER, PARAMETER, PARAMETERS

_LONGEST = 300


def told(failed: Mapping[str, Any], adapter: Adapter, data: Data) -> str:
    """The failure of a job."""
    plan = adapter.plan
    match failed["kind"]:
        case "said":
            return str(failed["message"])
        case "raised":
            hint = "\n    say under 'parameters:' what their arrays are called" if _is_unknown_key(failed, adapter) else ""
            return f"{_raised(failed)}{_called(failed.get('stage', ''), adapter, data)}{_passed_over(failed)}{hint}"
        case "call":
            return f"{failed['stage']} cannot be called so: {failed['message']}{_called(failed['stage'], adapter, data)}"
        case "name":
            known = ", ".join(failed["known"][:20]) or "nothing"
            return f"there is no '{failed['name']}'; there is {known}{_passed_over(failed)}"
        case "given":
            gave = ", ".join(failed["gave"]) or "nothing with a name"
            return (f"{plan.backward} needs '{failed['name']}', and forward gave {gave}: "
                    "say what it gives: gives: [hs, caches]")
        case "gives":
            return (f"{failed['stage']} returned a {failed['found']}, and 'gives:' has {len(failed['names'])} names: "
                    f"{', '.join(failed['names'])}")
        case "place":
            known = f"; it has {', '.join(failed['known'][:20])}" if failed["known"] else ""
            return (f"there is no place for '{failed['name']}': it is no argument of a call, no attribute, and nothing at "
                    f"the top of the file{known}. Say under 'parameters:' what their arrays are called")
        case "pick":
            return (f"{failed['stage']} returned a {failed['found']}, in which {failed['state']} cannot be found: "
                    "say what it returns")
    return "the time was over before all examples were run; --seconds gives more"


def _is_unknown_key(failed: Mapping[str, Any], adapter: Adapter) -> bool:
    """Whether their dictionary of parameters has other keys."""
    whole = any(call.reads(PARAMETERS) for call in adapter.plan.calls)
    return whole and failed["type"] == "KeyError" and str(failed["message"]).strip("'\"") not in adapter.side.blocks


def _raised(failed: Mapping[str, Any]) -> str:
    frames = failed["frames"]
    said = " ".join(str(failed["message"]).split())[:_LONGEST]
    problem = f"{failed['type']}: {said}" if said else str(failed["type"])
    if not frames:
        return f"{failed.get('stage') or 'their code'} failed: {problem}"
    file, line, text = frames[-1]
    return f"{file}, line {line}: {problem}\n    {text}"


def _passed_over(failed: Mapping[str, Any]) -> str:
    """What at the top of their file was not run, where a name is missing."""
    lines = failed.get("passed_over") or ()
    if not lines or failed["kind"] == "raised" and failed["type"] not in ("NameError", "KeyError", "AttributeError"):
        return ""
    return "".join(f"\n    {line}" for line in lines[:6])


def _called(stage: str, adapter: Adapter, data: Data) -> str:
    """The call, and the shapes of what it was given."""
    call = next((call for call in adapter.plan.calls if ".".join(call.path) == stage), None)
    if call is None:
        return ""
    shapes = "; ".join(_shapes(call, adapter, data))
    return f"\n    it was called as {call}" + (f", with {shapes}" if shapes else "")


def _shapes(call: Called, adapter: Adapter, data: Data) -> list[str]:
    given = adapter.shapes(call, data)
    found = []
    for argument, ref in call.arguments:
        if ref.kind == PARAMETERS:
            held = ", ".join(f"{name} {given[name]}" for name in adapter.side.blocks)
            found.append(f"{argument.text} a dictionary of {held}")
        elif ref.kind == PARAMETER:
            found.append(f"{ref.name} {given[ref.name]}")
        elif ref.kind != NUMBER and argument.text in given:
            found.append(f"{argument.text} {given[argument.text]}")
    return found
