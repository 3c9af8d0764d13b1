"""The group of all commands. Whatever happens in a command ends as a message and a status."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

from .failures import TRACEBACK, is_defect, status_of, told

# New objects between two garbage collections. Nearly all of them live to the end, so that collecting is in vain; with
# Python's default it takes 5 % of a build.
COLLECT_AFTER = 100_000


class Group(click.Group):
    """Turns every error into a message and a status, never into a traceback."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)  # in the order of use, not of the alphabet

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
        except BrokenPipeError:  # `lstmgen show gru | head`: the reader has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            context.exit(1)
        except Exception as error:
            if is_defect(error) and os.environ.get(TRACEBACK):
                raise
            click.echo(told(error), err=True)
            context.exit(status_of(error))


class _Stopped(BaseException):
    """A signal asked the process to end. Unfinished work is undone on the way out."""

    def __init__(self, number: int):
        self.number = number


@contextmanager
def _stopped_gently() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the work as Ctrl-C does: TeX is stopped, its folder and new files are removed."""
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():  # no other thread may set signal handlers
        yield
        return
    known: list[signal.Signals] = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [number for number in known if signal.getsignal(number) == signal.SIG_DFL]  # not under nohup

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
    """Ignore a signal while work is undone. (With SIG_IGN, Python would still report a signal that came just before.)"""


def _print_anything() -> None:
    """Print a question mark for a character that the terminal does not have, and go on."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
