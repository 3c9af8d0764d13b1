"""What is in the wheel and the source distribution, and that an installed wheel finds its own folders."""

from __future__ import annotations

import importlib.util
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


def test_the_wheel_holds_the_package_its_templates_and_its_specs(built):
    with zipfile.ZipFile(built["wheel"]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    expected = names_under("lstmgen") | {f"lstmgen/{name}" for name in names_under("templates", "specs")}
    assert names == expected


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
    assert names_under("lstmgen", "templates", "specs", "tests") <= names
    assert {"pyproject.toml", "LICENSE", "Makefile"} <= names
    unwanted = (".venv/", "dist/", ".ci/")
    assert not [name for name in names if name.startswith(unwanted) or "__pycache__" in name]


def test_an_installed_wheel_finds_its_own_folders(built, tmp_path):
    site = tmp_path / "site-packages"
    with zipfile.ZipFile(built["wheel"]) as wheel:
        wheel.extractall(site)
    # What strangers leave in site-packages must not be taken for ours.
    for stranger in ("templates", "specs"):
        (site / stranger).mkdir()
    (site / "pyproject.toml").write_text('[project]\nname = "stranger"\n')
    script = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "from lstmgen.resources import SPECS, TEMPLATES, packaged_specs\n"
        "print(TEMPLATES, SPECS, *(path.name for path in packaged_specs()), sep='\\n')"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = done.stdout.splitlines()
    inside = site.resolve() / "lstmgen"
    assert shown[:2] == [str(inside / "templates"), str(inside / "specs")]
    assert shown[2:] == [path.name for path in resources.packaged_specs()]


# --- in a checkout


def test_a_checkout_uses_the_folders_at_its_top():
    assert resources.TEMPLATES == ROOT.resolve() / "templates"
    assert resources.SPECS == ROOT.resolve() / "specs"


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
