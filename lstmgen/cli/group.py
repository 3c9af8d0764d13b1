"""The group that all commands belong to: whatever happens in one ends as a line and a status."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

from .failures import TRACEBACK, is_defect, status_of, told

COLLECT_AFTER = 100_000  # new objects: nearly all live to the end, and looking for others costs 5 % of a build


class Group(click.Group):
    """Turns whatever goes wrong into a line and a status: never a traceback."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)  # in the order in which they are needed, not of the alphabet

    def invoke(self, context: click.Context) -> object:
        _print_anything()
        gc.set_threshold(COLLECT_AFTER)
        try:
            with _stopped_gently():
                return super().invoke(context)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except _Stopped as stop:
            click.echo("terminated", err=True)
            context.exit(128 + stop.number)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            context.exit(130)
        except BrokenPipeError:  # `lstmgen show gru | head`: whoever read has what he wanted
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            context.exit(1)
        except Exception as error:
            if is_defect(error) and os.environ.get(TRACEBACK):
                raise
            click.echo(told(error), err=True)
            context.exit(status_of(error))


class _Stopped(BaseException):
    """Somebody told the process to end: what is half done is taken back on the way out."""

    def __init__(self, number: int):
        self.number = number


@contextmanager
def _stopped_gently() -> Iterator[None]:
    """SIGTERM and SIGHUP end the work as Ctrl-C does: TeX is stopped, and its folder and new files go."""
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():  # no other one may ask for signals
        yield
        return
    known: list[signal.Signals] = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [number for number in known if signal.getsignal(number) == signal.SIG_DFL]  # nohup: let it be

    def stop(number: int, _: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, go_on)
        raise _Stopped(number)

    for number in numbers:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def go_on(*_: object) -> None:
    """What is being taken back must not be interrupted. (SIG_IGN would: Python tells of a signal that came just before.)"""


def _print_anything() -> None:
    """A character that the terminal does not have becomes a question mark and ends nothing."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
