"""`make test FRAMEWORKS=1` skips no test because a package is missing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OF_A_MODULE = "import pytest\npytest.importorskip('no_such_package')\ndef test(): pass\n"
OF_A_TEST = "import pytest\ndef test(): pytest.importorskip('no_such_package')\n"
FOR_ANOTHER_REASON = "import pytest\ndef test(): pytest.skip('not on this system')\n"


def outcome(folder: Path, text: str, frameworks: str) -> int:
    """The status with which pytest, with our conftest.py, ends on a file of this text."""
    (folder / "test_it.py").write_text(text, encoding="utf-8")
    path = os.pathsep.join([str(ROOT / "tests"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "-p", "no:cacheprovider", "test_it.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True,
                          env=os.environ | {"FRAMEWORKS": frameworks, "PYTHONPATH": path.rstrip(os.pathsep)})
    if done.returncode not in (0, 5):
        assert "could not import 'no_such_package'" in done.stdout, done.stdout + done.stderr
    return done.returncode


@pytest.mark.parametrize("text, without, asked_for", [
    (OF_A_MODULE, {0, 5}, {1, 2}),
    (OF_A_TEST, {0}, {1}),
    (FOR_ANOTHER_REASON, {0}, {0}),
])
def test_a_missing_package_fails_a_test_where_packages_were_asked_for(tmp_path, text, without, asked_for):
    assert outcome(tmp_path, text, "") in without
    assert outcome(tmp_path, text, "1") in asked_for


@pytest.mark.skipif(not (ROOT / ".ci").exists(), reason="a source distribution has no .ci")
def test_continuous_integration_asks_for_them():
    assert re.search(r"\bmake test FRAMEWORKS=1\b", (ROOT / ".ci" / "run").read_text(encoding="utf-8"))


def test_every_package_that_a_test_may_lack_is_installed_for_them():
    """What tests skip themselves without stands in the extras that `make test FRAMEWORKS=1` installs."""
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = dict(re.findall(r"^(\w+) = \[(.*?)\]$", lines, re.MULTILINE | re.DOTALL))  # Python 3.10 reads no TOML
    wanted = "".join(extras[name] for name in ("test", "torch", "frameworks"))
    installed = set(re.findall(r"\"([a-z0-9-]+)[>=]=", wanted))
    assert {"pytest", "jsonschema", "torch", "jax"} <= installed
    for path in (ROOT / "tests").glob("*.py"):
        for name in re.findall(r"importorskip\(\"(\w+)", path.read_text(encoding="utf-8")):
            assert name in installed, f"{path.name} needs {name}, which no extra installs"
