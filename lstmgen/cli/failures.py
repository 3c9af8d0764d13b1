"""Errors, as a message for the user and a status for the shell."""

from __future__ import annotations

from typing import IO, Any

import click

TRACEBACK = "LSTMGEN_TRACEBACK"  # if this is set in the environment, a defect of lstmgen shows its traceback


class Refused(click.ClickException):
    """Wrong usage that click cannot see: a message, and status 2."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"error: {self.format_message()}", file=file, err=file is None)


def status_of(error: Exception) -> int:
    """2 if the user can correct the input, 1 for everything else."""
    from ..errors import SpecError
    from ..files import OutputError

    return 2 if isinstance(error, (SpecError, OutputError, OSError)) else 1


def is_defect(error: Exception) -> bool:
    """Whether this is a mistake in lstmgen, and not one that the user can correct."""
    from concurrent.futures.process import BrokenProcessPool

    from ..pipeline import VerificationFailed

    known = (VerificationFailed, BrokenProcessPool, MemoryError)
    return status_of(error) == 1 and not isinstance(error, known)


def told(error: Exception) -> str:
    """The error as it is printed: a line for each mistake."""
    from concurrent.futures.process import BrokenProcessPool

    from ..errors import SpecError
    from ..pipeline import VerificationFailed

    match error:
        case SpecError():
            return str(error)
        case VerificationFailed():
            return "\n".join([*error.verdict.lines(), f"error: {error}; nothing was written"])
        case OSError(filename=str(name), strerror=str(reason)):
            return f"error: {name}: {reason}"
        case BrokenProcessPool():
            return "error: a worker was killed, probably because memory ran out; -j 1 needs the least"
        case MemoryError():
            return "error: not enough memory"
    if not is_defect(error):
        return f"error: {error}"
    said = " ".join(str(error).split())[:200]
    return (f"error: {type(error).__name__}: {said}\n"
            f"This is a defect of lstmgen: please report it, with the spec. {TRACEBACK}=1 shows where it is.")
