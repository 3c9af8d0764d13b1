"""What all tests share. A spec is tested by every test of `spec_path` the moment it lies in specs/."""

from __future__ import annotations

import importlib.util
import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

from lstmgen.resources import packaged_specs

settings.register_profile("lstmgen", deadline=None)  # a machine under load is no reason to fail
settings.load_profile("lstmgen")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background job: what is started here inherits it
    signal.signal(signal.SIGINT, signal.default_int_handler)

_numbers = itertools.count()

NOTHING_MISSING = bool(os.environ.get("FRAMEWORKS"))  # set by `make test FRAMEWORKS=1`, which installs every package


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    _fail_without_package((yield).get_result())


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report():
    _fail_without_package((yield).get_result())


def _fail_without_package(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn the skip of `pytest.importorskip` into a failure: a package that was to be installed is not there."""
    if NOTHING_MISSING and report.skipped and "could not import" in str(report.longrepr):
        report.outcome = "failed"


@pytest.fixture(params=packaged_specs(), ids=lambda path: path.stem)
def spec_path(request) -> Path:
    """Each spec that comes with lstmgen."""
    return request.param


@pytest.fixture(scope="session")
def load_module() -> Callable[[Path], ModuleType]:
    """Loads a generated module by its path, each time as a module of its own."""

    def load(path: Path) -> ModuleType:
        location = importlib.util.spec_from_file_location(f"generated_{next(_numbers)}_{path.stem}", path)
        module = importlib.util.module_from_spec(location)
        location.loader.exec_module(module)
        return module

    return load
