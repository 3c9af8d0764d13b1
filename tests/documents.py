"""Sets the document of every spec in every notation, and tells what does not compile or leaves its margins.

It takes half an hour of one core, so it is no test: `make documents` runs it, on all of them.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from lstmgen.document import render_document
from lstmgen.errors import SpecError
from lstmgen.notation import STYLES, make_notation
from lstmgen.numpy_module import module_source
from lstmgen.pipeline import _extras, _plan, execute, load
from lstmgen.resources import packaged_specs
from lstmgen.tex import TexError, compile_pdf, overfull_boxes

UNROLLED = 3


def complaints(path: Path) -> list[str]:
    """What is wrong with one spec's documents."""
    plan = _plan(load(path))
    text = module_source(plan, verified=False)
    extras, found = _extras(plan, execute(text, path.stem), UNROLLED), []
    for choice in STYLES:
        try:
            tex = render_document(plan, make_notation(plan.graph, choice), None, path.stem, extras)
            log = compile_pdf(tex, {f"{path.stem}.py": text}).log
        except (SpecError, TexError) as error:
            found.append(f"{path.stem} in {choice}: {error}")
            continue
        wide = [box for box in overfull_boxes(log) if box.points > 1]
        found += [f"{path.stem} in {choice}: {box.points:.1f} pt too wide, {box.where}" for box in wide]
        if "undefined references" in log:
            found.append(f"{path.stem} in {choice}: undefined references")
    return found


def main() -> int:
    """Status 1 where there is something to tell."""
    wrong = False
    with ProcessPoolExecutor() as pool:
        for path, found in zip(packaged_specs(), pool.map(complaints, packaged_specs())):
            wrong = wrong or bool(found)
            print("\n".join(found) or f"{path.stem}: as it should be", flush=True)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
