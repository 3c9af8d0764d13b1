"""Compiled templates are kept beside the templates, and nothing depends on it."""

from __future__ import annotations

import sys

import jinja2
import pytest

from lstmgen.outputs import render


@pytest.fixture
def templates(tmp_path, monkeypatch):
    """A folder of templates with one in it, rendered by an environment of its own."""
    (tmp_path / "greeting.jinja").write_text("hello {{ name }}")
    monkeypatch.setattr(render, "TEMPLATES", tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return tmp_path


def rendered(templates):
    loader = jinja2.FileSystemLoader(templates)
    environment = jinja2.Environment(loader=loader, bytecode_cache=render.Compiled())
    return environment.get_template("greeting.jinja").render(name="you")


def kept(templates):
    return list((templates / "__pycache__").glob("*"))


def test_what_is_compiled_is_kept_and_read_again(templates, monkeypatch):
    assert rendered(templates) == "hello you"
    (path,) = kept(templates)
    assert path.suffix == f".{jinja2.__version__.rpartition('.')[2]}" and "jinja" in path.name
    monkeypatch.setattr(jinja2.Environment, "compile", lambda *_, **__: pytest.fail("compiled again"))
    assert rendered(templates) == "hello you"


def test_a_template_that_has_changed_is_compiled_anew(templates):
    rendered(templates)
    (templates / "greeting.jinja").write_text("good bye {{ name }}")
    assert rendered(templates) == "good bye you"


@pytest.mark.parametrize("broken", [lambda whole: b"", lambda whole: b"garbage" * 100, lambda whole: whole[:-9]])
def test_a_broken_one_does_no_harm(templates, broken):
    rendered(templates)
    (path,) = kept(templates)
    path.write_bytes(broken(path.read_bytes()))
    assert rendered(templates) == "hello you"


def test_where_nothing_can_be_written_nothing_is_kept(templates, monkeypatch):
    (templates / "__pycache__").write_text("a file where the folder should be")
    assert rendered(templates) == "hello you"
    (templates / "__pycache__").unlink()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert rendered(templates) == "hello you" and not (templates / "__pycache__").exists()
