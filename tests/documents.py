"""Every document in every notation: `make documents`, or `python tests/documents.py [NAME ...]` for some specs.

Each is set; what does not compile, leaves its margins or is too long is told. Each displayed equation is read
back from the TeX and evaluated. It takes more than half an hour of one core, so it is no test.
"""

from __future__ import annotations

import re
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from test_latex import (
    carousel_disagreements, check, document, fading_disagreements, most_pages, plan_of, stacked_disagreements,
    unrolled_disagreements,
)

from lstmgen.document.compose import render_document
from lstmgen.errors import SpecError
from lstmgen.document.notation import STYLES, make_notation
from lstmgen.outputs.numpy.module import module_source
from lstmgen.pipeline import _extras, _schedule, execute, load
from lstmgen.resources import packaged_specs
from lstmgen.document.latex.pdf import TexError, compile_pdf, overfull_boxes

UNROLLED = 3
MOST_UNROLLED = 5  # pages of that section


def complaints(path: Path) -> tuple[list[str], list[int]]:
    """What is wrong with one spec's documents, and how many pages each has without the module's listing."""
    schedule = _schedule(load(path))
    plan = schedule.plan
    text = module_source(schedule, verified=False)
    extras, found, pages = _extras(schedule, execute(text, path.stem), UNROLLED), [], []
    np.seterr(all="ignore")  # points are drawn without regard to where a logarithm is defined
    for choice in STYLES:
        try:
            tex = render_document(plan, make_notation(plan.graph, choice), None, path.stem, extras)
            log = compile_pdf(tex).log
            wrong = misprints(path.read_text(encoding="utf-8"), choice)
        except (SpecError, TexError) as error:
            found.append(f"{path.stem} in {choice}: {error}")
            continue
        found += [f"{path.stem} in {choice}: {each}" for each in wrong]
        pages.append(int(re.search(r"Output written on .*\((\d+) page", log)[1]))
        if pages[-1] > most_pages(len(plan.graph.stages)) + MOST_UNROLLED:
            found.append(f"{path.stem} in {choice}: {pages[-1]} pages for {len(plan.graph.stages)} stages")
        wide = [box for box in overfull_boxes(log) if box.points > 1]
        found += [f"{path.stem} in {choice}: {box.points:.1f} pt too wide, {box.where}" for box in wide]
        if "undefined references" in log:
            found.append(f"{path.stem} in {choice}: undefined references")
    return found, pages


def misprints(spec: str, choice: str) -> list[str]:
    """Equations, stacks, paths, factors over many steps and unrolled gradients that do not say what was derived."""
    plan = plan_of(spec)
    notation = make_notation(plan.graph, choice)
    tex = document(plan, notation, UNROLLED)
    found = [*check(spec, choice), *unrolled_disagreements(tex, plan, notation, UNROLLED)]
    for disagreements in (stacked_disagreements, fading_disagreements, carousel_disagreements):
        found += disagreements(tex, plan, notation)
    return found


def main() -> int:
    """Status 1 where there is something to tell."""
    wrong = False
    paths = [path for path in packaged_specs() if not sys.argv[1:] or path.stem in sys.argv[1:]]
    with ProcessPoolExecutor() as pool:
        for path, (found, pages) in zip(paths, pool.map(complaints, paths)):
            wrong = wrong or bool(found)
            print("\n".join(found) or f"{path.stem:<24} {' '.join(map(str, pages))} pages", flush=True)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
