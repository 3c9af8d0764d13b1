"""The type hints of the package hold, as mypy reads them in its strict mode."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_the_public_functions_of_modules_have_types_that_hold(tmp_path):
    pytest.importorskip("mypy")
    modules = sorted((ROOT / "generated").glob("*.py"))[::9]
    caller = tmp_path / "caller.py"
    caller.write_text("import lstm\nlstm.forward(lstm.init_params(3, 4), [1.0])\n")
    command = [sys.executable, "-m", "mypy", "--config-file=", "--cache-dir", str(tmp_path)]
    done = subprocess.run([*command, *map(str, modules)], cwd=tmp_path, capture_output=True, text=True)
    assert not done.returncode, done.stdout + done.stderr
    paths = os.environ | {"MYPYPATH": str(ROOT / "generated")}
    wrong = subprocess.run([*command, str(caller)], cwd=tmp_path, capture_output=True, text=True, env=paths)
    assert wrong.returncode and '"forward" has incompatible type "list[float]"' in wrong.stdout


@pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.4.0", reason="the types of this NumPy say less: `np.ndarray` alone is none"
)
def test_mypy_finds_nothing():
    pytest.importorskip("mypy")
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True)
    assert not done.returncode, done.stdout + done.stderr
