"""The zoo as a book: `make site` builds the pages of all cells, and this adds an index, small drawings, and docs/ as pages.

    python tests/zoo_site.py build/site       # whose folder `cells` holds NAME.html, NAME.py and perhaps NAME.pdf

It ends with status 1 if a link leads nowhere.
"""

from __future__ import annotations

import re
import shutil
import sys
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import lstmgen
from lstmgen.document.catalogue import Entry, entries
from lstmgen.document.figures import TooLarge, draw_graph
from lstmgen.outputs.render import template_text
from lstmgen.resources import DOCS, TEMPLATES

ROOT = DOCS.parent
BESIDE = ("README", "CONTRIBUTING", "SECURITY", "CHANGELOG")  # pages at the top of the repository that docs/ links to


def make_site(out: Path) -> list[str]:
    """Write the site; what is returned are the links that lead nowhere."""
    cells = entries()
    for entry in cells:
        try:
            (out / "cells" / f"{entry.name}.svg").write_bytes(draw_graph(lstmgen.derive(entry.graph), "svg"))
        except TooLarge:
            continue
    _write(out / "index.html", "index.html.jinja", "The cells of lstmgen", "", template_text("site/search.js"),
           groups=[{"name": name, "cells": [_card(entry, out) for entry in group]}
                   for name, group in groupby(cells, key=lambda entry: entry.group)],
           pdf=any((out / "cells").glob("*.pdf")))
    _write_docs(out / "docs")
    return dead_links(out)


def _card(entry: Entry, out: Path) -> dict[str, object]:
    spec = entry.graph.spec
    text = " ".join((entry.name, spec.title, spec.description, *spec.references, *entry.needs)).lower()
    return {"name": entry.name, "title": spec.title, "description": spec.description, "text": text,
            "states": ", ".join(entry.states), "parameters": entry.count(), "confirmed": ", ".join(entry.confirmed),
            "pdf": (out / "cells" / f"{entry.name}.pdf").exists()}


def _write_docs(folder: Path) -> None:
    from markdown import markdown

    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(DOCS / "images", folder / "images", dirs_exist_ok=True)
    for page in [*sorted(DOCS.glob("*.md")), *(ROOT / f"{name}.md" for name in BESIDE)]:
        extensions = ["tables", "fenced_code", "toc", "sane_lists", "md_in_html"]
        body = markdown(page.read_text(encoding="utf-8"), extensions=extensions)
        title = re.search(r"^# (.*)", page.read_text(encoding="utf-8"), re.MULTILINE)
        _write(folder / f"{page.stem}.html", "text.html.jinja", title[1] if title else page.stem, "../", "",
               body=re.sub(r'(href|src)="([^"]*)"', lambda found: f'{found[1]}="{_moved(found[2])}"', body))


def _moved(link: str) -> str:
    """Where a link of a page in docs/, or at the top of the repository, leads in the site."""
    if re.match(r"[a-z]+:|#", link):
        return link
    path, _, anchor = link.partition("#")
    path = path.removeprefix("../").removeprefix("docs/")
    if re.fullmatch(r"[\w-]+\.md", path):
        return path.removesuffix(".md") + ".html" + (f"#{anchor}" if anchor else "")
    if path.startswith("images/"):
        return path
    made = re.fullmatch(r"generated/(\w+)\.(py|pdf)", path)
    return f"../cells/{made[1]}.{made[2]}" if made else f"../files/{path}"


def _write(path: Path, template: str, title: str, top: str, script: str, **context: object) -> None:
    style = template_text("site/site.css")
    environment = Environment(loader=FileSystemLoader(TEMPLATES / "site"), undefined=StrictUndefined, autoescape=True,
                              trim_blocks=True, lstrip_blocks=True)
    path.write_text(environment.get_template(template).render(
        title=title, top=top, style=style, script=script, version=lstmgen.__version__,
        style_hash=_hash(style), script_hash=_hash(script), **context), encoding="utf-8")


def _hash(text: str) -> str:
    return b64encode(sha256(f"\n{text}".encode()).digest()).decode("ascii")


# ---------------------------------------------------------------- links


class _Links(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if value and name in ("href", "src"):
                self.links.append(value)
            elif value and name == "id":
                self.names.add(value)


def dead_links(out: Path) -> list[str]:
    """Links within the site that lead nowhere. Files of the repository that a page names are copied beside it."""
    pages = {path: _Links(path.read_text(encoding="utf-8")) for path in [out / "index.html", *(out / "docs").glob("*.html")]}
    dead = []
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            target, _, anchor = link.partition("#")
            found = (path.parent / target).resolve() if target else path.resolve()
            if target.startswith("../files/"):
                source = ROOT / target.removeprefix("../files/")
                if source.is_file():
                    found.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source, found)
                elif source.is_dir():
                    shutil.copytree(source, found, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            if not found.exists():
                dead.append(f"{path.name}: {link}")
            elif anchor and found in {each.resolve() for each in pages}:
                names = next(other.names for each, other in pages.items() if each.resolve() == found)
                if anchor not in names:
                    dead.append(f"{path.name}: {link}, and there is no such heading")
    return dead


if __name__ == "__main__":
    missing = make_site(Path(sys.argv[1]))
    print("\n".join(missing) or f"every link leads somewhere: {sys.argv[1]}/index.html")
    sys.exit(bool(missing))
