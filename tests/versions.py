"""Are the bytes the same everywhere? `make versions`, or `python tests/versions.py [FOLDER]`.

For each set of versions an environment is made in FOLDER (build/versions), all specs are built there, with
their proofs, and what comes out is compared with generated/. An interpreter that is not on the PATH is left
out. Last, the versions at hand as on another machine: other instructions of the processor, another time
zone, locale and hash seed.
"""

from __future__ import annotations

import filecmp
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
SETS = (  # Python, SymPy, NumPy: the oldest that are allowed first
    ("3.10", "1.10.*", "1.26.*"), ("3.10", "1.12.*", "2.2.*"), ("3.11", "1.11.*", "1.26.*"),
    ("3.12", "1.13.*", "2.0.*"), ("3.13", "1.14.*", "2.*"),
)
ELSEWHERE = {
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX2 FMA3",
    "OPENBLAS_CORETYPE": "Prescott", "TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONHASHSEED": "7",
}


def environment(folder: Path, python: str, sympy: str, numpy: str) -> Path | None:
    """The interpreter of an environment with these versions; None where there is no such Python."""
    command = [f"python{python}", "-c", "import venv"]
    try:
        if subprocess.run(command, capture_output=True).returncode:
            return None
    except FileNotFoundError:
        return None
    place = folder / f"{python}-{sympy}-{numpy}".replace(".*", "")
    if not (place / "ready").exists():
        subprocess.run([f"python{python}", "-m", "venv", "--clear", str(place)], check=True)
        wanted = [f"sympy=={sympy}", f"numpy=={numpy}", "jinja2", "click", "pyyaml"]
        subprocess.run([str(place / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-qq", "install",
                        *wanted], check=True)
        (place / "ready").touch()
    return place / "bin" / "python"


def versions(python: Path | str) -> list[str]:
    code = "import sys, sympy, numpy; print(sys.version.split()[0], sympy.__version__, numpy.__version__)"
    return subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True).stdout.split()


def differing(python: Path | str, variables: dict[str, str]) -> tuple[list[str], list[str]]:
    """Specs whose proofs fail, and files that are not those of generated/."""
    specs = sorted((ROOT / "specs").glob("*.yaml"))
    with tempfile.TemporaryDirectory() as folder:
        command = [str(python), "-m", "lstmgen", "build", *map(str, specs), "-o", folder, "--no-pdf", "-j", "2"]
        subprocess.run(command, cwd=ROOT, env=os.environ | variables, capture_output=True)
        made = {path.name for path in Path(folder).iterdir()}
        failed = [spec.stem for spec in specs if f"{spec.stem}.py" not in made]
        names = sorted(made & {path.name for path in (ROOT / "generated").iterdir()})
        return failed, [name for name in names
                        if not filecmp.cmp(Path(folder) / name, ROOT / "generated" / name, shallow=False)]


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "versions"
    print(f"{'Python':<9} {'SymPy':<8} {'NumPy':<8}")
    wrong = False
    for python, sympy, numpy in (*SETS, (None, None, None)):
        place = environment(folder, python, sympy, numpy) if python else sys.executable
        if place is None:
            print(f"{python:<9} {sympy:<8} {numpy:<8} no such Python here", flush=True)
            continue
        failed, others = differing(place, {} if python else ELSEWHERE)
        told = "".join([f"failed: {', '.join(failed)}  " if failed else "", f"differ: {', '.join(others)}" if others else ""])
        wrong = wrong or bool(told)
        where = "" if python else ", as on another machine"
        shown = "{:<9} {:<8} {:<8}".format(*versions(place))
        print(f"{shown} {told or 'all proved, all bytes the same'}{where}", flush=True)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
