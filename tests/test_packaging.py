"""What is in the wheel and the source distribution, and that an installed wheel finds what comes with it."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from lstmgen import resources

ROOT = Path(__file__).parent.parent
TOOLS = all(importlib.util.find_spec(name) for name in ("build", "hatchling"))


def names_under(*folders: str) -> set[str]:
    """The repository's own files in these folders, as paths from its top."""
    files = (path for folder in folders for path in (ROOT / folder).rglob("*"))
    wanted = (path for path in files if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in wanted if not path.name.startswith(".")}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> dict[str, Path]:
    """The wheel, made from the source distribution as an index would, without a network."""
    if not TOOLS:
        pytest.skip("hatchling and build are not installed: `pip install -e '.[test]'`")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return {"wheel": wheel, "source": source}


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """A folder of installed packages with the wheel in it, and with what strangers leave in such a folder."""
    site = tmp_path_factory.mktemp("installed") / "site-packages"
    with zipfile.ZipFile(built["wheel"]) as wheel:
        wheel.extractall(site)
    for stranger in ("templates", "specs", "audits", "docs", "references"):
        (site / stranger).mkdir()
    (site / "pyproject.toml").write_text('[project]\nname = "stranger"\n')
    return site.resolve()


def run_installed(site: Path, folder: Path, *arguments: str) -> str:
    """What Python prints with the installed wheel, started in a folder of its own."""
    environment = os.environ | {"PYTHONPATH": str(site), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, encoding="utf-8", cwd=folder,
                          env=environment)
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_the_wheel_holds_the_package_and_what_comes_with_it(built):
    with zipfile.ZipFile(built["wheel"]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    beside = names_under("templates", "specs", "audits", "docs")
    assert names == names_under("lstmgen") | {f"lstmgen/{name}" for name in beside} | {"lstmgen/references/index.json"}


def test_the_wheel_says_what_it_is(built):
    with zipfile.ZipFile(built["wheel"]) as wheel:
        (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        (entries,) = (name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt"))
        text = wheel.read(metadata).decode()
        assert "License-Expression: Apache-2.0" in text and "Requires-Python: >=3.10" in text
        assert "lstmgen = lstmgen.cli:main" in wheel.read(entries).decode()
        assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def test_the_source_distribution_holds_what_a_wheel_and_the_tests_need(built):
    with tarfile.open(built["source"]) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    assert names_under("lstmgen", "templates", "specs", "audits", "docs", "tests") <= names
    assert {"pyproject.toml", "LICENSE", "Makefile"} <= names
    unwanted = (".venv/", "dist/", ".ci/")
    assert not [name for name in names if name.startswith(unwanted) or "__pycache__" in name]


def test_an_installed_wheel_finds_its_own_folders(installed, tmp_path):
    script = (
        "from lstmgen.resources import *\n"
        "print(TEMPLATES, SPECS, AUDITS, DOCS, CONFIRMED, sep='\\n')\n"
        "print(*(path.name for path in (*packaged_specs(), *packaged_audits())), sep='\\n')"
    )
    shown = run_installed(installed, tmp_path, "-c", script).splitlines()
    inside = installed / "lstmgen"
    names = ("templates", "specs", "audits", "docs", "references/index.json")
    assert shown[:5] == [str(inside / name) for name in names]
    assert shown[5:] == [path.name for path in (*resources.packaged_specs(), *resources.packaged_audits())]


def test_an_installed_wheel_says_who_confirmed_a_cell(installed, tmp_path):
    listed = run_installed(installed, tmp_path, "-m", "lstmgen", "list")
    assert re.search(r"(?m)^  lstm +LSTM +keras, onnxruntime, torch$", listed)


def test_an_installed_wheel_audits_a_packaged_file_of_claims(installed, tmp_path):
    for name in ("notes_stacked", "known_clip"):  # the spec of the second lies beside it, in audits/cells
        printed = run_installed(installed, tmp_path, "-m", "lstmgen", "audit", name)
        assert re.search(r"(?m)^\d+ claims?: .*\b\d+ holds?\b", printed), printed


def paths_in(text: str) -> list[str]:
    """The words of a help text that look like a path of a file."""
    words = [word.strip("().,;'`") for word in text.split()]
    return [word for word in words if re.search(r"\w/|/\w|\.md$", word) and not word.startswith("-")]


@pytest.mark.parametrize("where", ["checkout", "wheel"])
def test_help_names_no_file_that_is_not_there(where, request, tmp_path):
    site = ROOT if where == "checkout" else request.getfixturevalue("installed")
    script = (
        "import click; from lstmgen.cli import main\n"
        "print(main.get_help(click.Context(main, max_content_width=1000, terminal_width=1000)))\n"
        "for name, command in main.commands.items():\n"
        "    print(command.get_help(click.Context(command, info_name=name, terminal_width=1000)))"
    )
    found = paths_in(run_installed(site, tmp_path, "-c", script))
    assert {Path(path).name for path in found} >= {"audit.md", "index.md"}
    assert not [path for path in found if not (tmp_path / path).is_file()]


# --- in a checkout


def test_a_checkout_uses_the_folders_at_its_top():
    assert resources.TEMPLATES == ROOT.resolve() / "templates"
    assert resources.SPECS == ROOT.resolve() / "specs"
    assert resources.AUDITS == ROOT.resolve() / "audits"
    assert resources.DOCS == ROOT.resolve() / "docs"
    assert resources.CONFIRMED == ROOT.resolve() / "tests" / "references" / "index.json"


def test_packaged_specs_are_sorted_by_name():
    stems = [path.stem for path in resources.packaged_specs()]
    assert stems == sorted(stems) and len(set(stems)) == len(stems)


def test_a_packaged_spec_is_found_by_its_bare_name(tmp_path, monkeypatch):
    for name in ("b.yaml", "a.yaml", "notes.txt"):
        (tmp_path / name).touch()
    monkeypatch.setattr(resources, "SPECS", tmp_path)
    assert [path.name for path in resources.packaged_specs()] == ["a.yaml", "b.yaml"]
    assert resources.find_spec("a") == resources.find_spec("a.yaml") == tmp_path / "a.yaml"
    for name in ("c", "notes", "notes.txt", "A", "", "./a", "../a", "a.yaml.yaml", str(tmp_path / "a.yaml")):
        assert resources.find_spec(name) is None
