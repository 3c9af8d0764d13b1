"""Records what other implementations compute, for tests/test_references.py: `make references`, or

    python tests/references/record.py [CELL ...]

One small file per cell and implementation, CELL.PACKAGE.npz, and index.json, which lists them. Seeds, time
stamps and the order of entries are fixed: recorded again on the same machine with the same versions, the
bytes are the same.
"""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
NOTE = (
    "Which cell was confirmed by which implementation: recorded by record.py, compared by "
    "test_references.py. 'equations' marks our own second writing of a paper's equations under autograd."
)


def main(cells: list[str]) -> int:
    sys.path.insert(0, str(HERE.parent))
    import torch

    from references import equations, libraries, modern, oracle  # noqa: F401 (they register their oracles)

    torch.set_num_threads(1)
    index = json.loads((HERE / "index.json").read_text()) if (HERE / "index.json").exists() else {}
    entries = {entry["file"]: entry for entry in index.get("references", [])}
    specs = {path.stem for path in (HERE.parent.parent / "specs").glob("*.yaml")}
    known = {f"{each.name}.npz" for each in oracle.ORACLES if each.cell in specs}
    for file in sorted({path.name for path in HERE.glob("*.npz")} - known):
        print(f"{file:<28} nothing records it any more: removed")
        (HERE / file).unlink()
    for each in oracle.ORACLES:
        if cells and each.cell not in cells:
            continue
        if each.cell not in specs:
            print(f"{each.cell:<28} {each.source}: there is no such spec, left out")
            continue
        if find_spec(each.package) is None:
            print(f"{each.cell:<28} {each.source}: {each.package} is not installed, left as it was")
            continue
        file = f"{each.name}.npz"
        reference = oracle.consult(each)
        reference.save(HERE / file)
        entries[file] = {
            "cell": each.cell,
            "oracle": each.source,
            "kind": "equations" if each.independent else "library",
            "version": f"{each.package} {reference.about['version']}",
            "file": file,
            "gradients": each.gradients,
            "bound": oracle.BOUNDS[each.precision],
            "convention": each.convention,
        }
        print(f"{each.cell:<28} {each.source}")
    kept = [entries[file] for file in sorted(entries) if file in known]
    text = json.dumps({"note": NOTE, "references": kept}, indent=1, ensure_ascii=False) + "\n"
    (HERE / "index.json").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
