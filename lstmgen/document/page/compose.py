"""From a schedule to the text of its page: data, styles and scripts in one file that needs no network.

Two things keep a page safe, whatever a spec says. All text goes through one of two doors: the template escapes what it
prints, and `_data_block` escapes the JSON; the scripts make nodes and set their text, and never read text as markup. And
a content security policy allows the one script and the one style of this file, by their checksums, and nothing else.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from functools import lru_cache
from hashlib import sha256

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ... import __version__
from ...outputs.render import Compiled, template_text
from ...proofs.verdict import Verdict
from ...resources import TEMPLATES
from ...schedule.records import Schedule
from .data import page_data

SCRIPTS = (
    "numbers", "functions", "evaluator", "dom", "notation", "state", "picture", "lines", "panel", "walk", "inputs",
    "language", "judge", "latex", "exercise", "time", "main",
)
"""The scripts under templates/page, in the order in which they use each other."""


def render_page(schedule: Schedule, notation: str | None, verdict: Verdict | None) -> str:
    """The page of a cell. `notation` is the one it opens with; `verdict` is None if nothing was proved."""
    spec = schedule.graph.spec
    script = _tabbed("\n".join(['"use strict";', *(template_text(f"page/{name}.js").rstrip() for name in SCRIPTS), ""]))
    style = template_text("page/page.css")
    return _environment().get_template("page.html.jinja").render(
        title=spec.title, description=spec.description, references=spec.references, name=spec.name,
        version=__version__, verified=verdict is not None, script=script, style=style,
        script_hash=_hash(script), style_hash=_hash(style), data=_data_block(page_data(schedule, notation, verdict)),
    )


def _tabbed(script: str) -> str:
    """The script with a tab for two spaces of indentation: the page is smaller, and reads as well."""
    return re.sub(r"^(?:  )+", lambda found: "\t" * (len(found[0]) // 2), script, flags=re.MULTILINE)


def _data_block(data: dict[str, object]) -> str:
    """JSON that can stand in a script element: no character of it can end the element or begin a comment."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    escaped = {char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
    return "".join(escaped.get(char, char) for char in text)


def _hash(text: str) -> str:
    """What a content security policy asks for: the checksum of all that stands between the tags."""
    return b64encode(sha256(f"\n{text}".encode()).digest()).decode("ascii")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES / "page"), undefined=StrictUndefined, autoescape=True, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True, bytecode_cache=Compiled(),
    )
