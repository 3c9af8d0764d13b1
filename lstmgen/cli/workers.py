"""The same work on several specs: on several cores, with a progress bar if there is a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from .failures import TRACEBACK, is_defect
from .group import go_on

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

Result = TypeVar("Result")


def results(work: Callable[[Path], Result], paths: Sequence[Path], count: int | None, label: str) -> list[Result | Exception]:
    """Results of `work` on every path, in order. An error is a result, too: it must not end the other work."""
    from concurrent.futures import as_completed

    count = min(count or os.cpu_count() or 1, len(paths))
    with _bar(len(paths), label) as advance:
        if count == 1:
            found = []
            for path in paths:
                found.append(_attempt(work, path))
                advance(1)
            return found
        with _pool(count) as pool:
            futures = [pool.submit(_in_worker, work, path) for path in paths]
            for _ in as_completed(futures):
                advance(1)
            return [future.result() for future in futures]


def _attempt(work: Callable[[Path], Result], path: Path) -> Result | Exception:
    try:
        return work(path)
    except Exception as error:
        if is_defect(error) and os.environ.get(TRACEBACK):
            raise
        return error


def _in_worker(work: Callable[[Path], Result], path: Path) -> Result | Exception:
    """Do the work, in a process that takes no further job after a signal to end."""
    try:
        return _attempt(work, path)
    except SystemExit:
        os._exit(130)


@contextmanager
def _bar(length: int, label: str) -> Iterator[Callable[[int], None]]:
    """A function that advances the progress bar."""
    if length == 1 or not sys.stderr.isatty():
        yield lambda steps: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield bar.update


@contextmanager
def _pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes. If the work is interrupted, they end at once without a message."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    pool = ProcessPoolExecutor(count, initializer=_leave_quietly)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in multiprocessing.active_children():
            worker.terminate()
        raise
    pool.shutdown()


def _leave_quietly() -> None:
    """Let signals end a worker through SystemExit, so that unfinished files are removed."""
    import signal

    def leave(*_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, go_on)
        sys.exit(130)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
