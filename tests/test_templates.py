"""Templates and what fills them: every name that a template reads is given, and nothing is given that none reads."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import jinja2
import pytest
from jinja2 import meta, nodes

from lstmgen.document.compose import _environment as latex
from lstmgen.outputs.render import environment
from lstmgen.pipeline import build
from lstmgen.resources import TEMPLATES

CELLS = ("lstm", "ng_lstm_last", "stacked_lstm")  # without and with a loss, and with several parts


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> dict[str, set[str]]:
    """The keys with which each template was filled, whichever the cell."""
    found: dict[str, set[str]] = defaultdict(set)
    render = jinja2.Template.render

    def recording(self, *contexts, **values):
        found[self.name].update(dict(*contexts, **values))
        return render(self, *contexts, **values)

    patch = pytest.MonkeyPatch()
    patch.setattr(jinja2.Template, "render", recording)
    try:
        for name in CELLS:
            for checkpoint in (None, 3):
                build(name, tmp_path_factory.mktemp(name), targets=("numpy", "c", "torch"), verify=False,
                      checkpoint=checkpoint)
    finally:
        patch.undo()
    return dict(found)


def path_of(template: str) -> Path:
    """Templates of documents are called by their names inside templates/latex."""
    return TEMPLATES / template if "/" in template else TEMPLATES / "latex" / template


def read_by(template: str) -> set[str]:
    """The names that a template, and every other that it includes, reads of its context."""
    reading = latex() if path_of(template).parent.name == "latex" else environment()
    tree = reading.parse(path_of(template).read_text(encoding="utf-8"))
    names = meta.find_undeclared_variables(tree)
    for node in tree.find_all(nodes.Include):  # what is imported sees nothing of the context
        if isinstance(node.template, nodes.Const):
            names |= read_by(node.template.value)
    given = {node.name for node in tree.find_all(nodes.Name) if node.ctx == "store"}  # by `set`, to what is included
    return names - given - set(reading.globals)


def test_every_template_is_filled_with_what_it_reads(filled):
    assert {"numpy/module.py.jinja", "c/cell.c.jinja", "c/cell.h.jinja", "derivation.tex.jinja"} <= set(filled)
    for template, keys in filled.items():
        assert read_by(template) <= keys, template


def test_nothing_is_given_that_no_template_reads(filled):
    # one context may serve several templates: the header's and the source's, the interface's of several targets
    read = set().union(*map(read_by, filled))
    for template, keys in filled.items():
        assert keys <= read, template
