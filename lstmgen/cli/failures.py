"""What goes wrong, as a line for the user and a status for the shell."""

from __future__ import annotations

from typing import IO, Any

import click

TRACEBACK = "LSTMGEN_TRACEBACK"  # set in the environment, it shows where a defect of ours is


class Refused(click.ClickException):
    """Bad usage that click cannot see: a line, and status 2."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"error: {self.format_message()}", file=file, err=file is None)


def status_of(error: Exception) -> int:
    """2 for what the user can cure, 1 for a no."""
    from ..errors import SpecError
    from ..files import OutputError

    return 2 if isinstance(error, (SpecError, OutputError, OSError)) else 1


def is_defect(error: Exception) -> bool:
    """Whether it is nothing that a user can cure or learn from."""
    from concurrent.futures.process import BrokenProcessPool

    from ..pipeline import VerificationFailed

    known = (VerificationFailed, BrokenProcessPool, MemoryError)
    return status_of(error) == 1 and not isinstance(error, known)


def told(error: Exception) -> str:
    """The error as it is printed: a line, or one for each mistake."""
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
            return "error: a worker was killed, probably for want of memory; -j 1 needs least"
        case MemoryError():
            return "error: not enough memory"
    if not is_defect(error):
        return f"error: {error}"
    said = " ".join(str(error).split())[:200]
    return (f"error: {type(error).__name__}: {said}\n"
            f"This is a defect of lstmgen: please report it, with the spec. {TRACEBACK}=1 shows where it is.")
