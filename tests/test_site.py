"""The site of the zoo: where links lead, and that dead ones are found. `make site` builds all of it."""

from __future__ import annotations

import pytest

from lstmgen.document.catalogue import entries
from lstmgen.outputs.render import template_text
from zoo_site import _card, _moved, _write, dead_links


@pytest.mark.parametrize("link, moved", [
    ("spec.md", "spec.html"),
    ("commands.md#build", "commands.html#build"),
    ("../README.md", "README.html"),
    ("docs/index.md", "index.html"),
    ("#words", "#words"),
    ("https://example.org/a.md", "https://example.org/a.md"),
    ("images/page.png", "images/page.png"),
    ("../generated/gru.py", "../cells/gru.py"),
    ("../specs/gru.yaml", "../files/specs/gru.yaml"),
])
def test_links_of_the_documentation_lead_into_the_site(link, moved):
    assert _moved(link) == moved


def test_a_dead_link_is_found(tmp_path):
    (tmp_path / "cells").mkdir()
    (tmp_path / "docs").mkdir()
    cell = entries()[0]
    _write(tmp_path / "index.html", "index.html.jinja", "Cells", "", template_text("site/search.js"),
           groups=[{"name": "A & B", "cells": [_card(cell, tmp_path)]}], pdf=False)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "A &amp; B" in text and " style=" not in text
    assert any(dead.endswith(f"cells/{cell.name}.html") for dead in dead_links(tmp_path))
    for name in ("cells/{}.html", "cells/{}.svg", "cells/{}.py"):
        (tmp_path / name.format(cell.name)).write_text("")
    (tmp_path / "docs" / "index.html").write_text('<a href="index.html#nowhere">x</a><h2 id="here"></h2>')
    assert dead_links(tmp_path) == ["index.html: index.html#nowhere, and there is no such heading"]
