"""From a `.tex` to its PDF: pdfLaTeX, held on a short leash.

By default pdflatex reads any file, may start programs, and waits for answers. Here it runs in a fresh
folder that holds its inputs and nothing else, under relative names, with an environment of its own
making, no shell, no terminal, and a time limit after which its whole process group is killed. The same
document gives the same bytes, provided that it sets `\\pdftrailerid{}` and `\\pdfsuppressptexinfo=-1`.

Knows nothing of what the document says.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("texlive-latex-base", "texlive-latex-recommended", "texlive-pictures")
INSTALL = (
    f"on Debian and Ubuntu: apt-get install --no-install-recommends {' '.join(PACKAGES)}; "
    "elsewhere: TeX Live or MiKTeX with KOMA-Script, TikZ, booktabs, listings, mathtools and microtype"
)

_JOB = "document"
_MOST_PASSES = 4  # a third one settles nearly every document; more than four oscillate
_SANDBOX = {
    "openin_any": "p",  # read and write below the working folder alone ...
    "openout_any": "p",
    "TEXMFOUTPUT": ".",
    "shell_escape": "f",  # ... and start nothing
    "SOURCE_DATE_EPOCH": "0",
    "FORCE_SOURCE_DATE": "1",
    "LC_ALL": "C",
    "max_print_line": "1000",  # TeX breaks the lines of its log, through the middle of words
}
# Nothing else comes through: a user's TEXINPUTS would widen what the document can read.
_INHERITED = ("PATH", "SYSTEMROOT", "LOCALAPPDATA", "APPDATA")


class TexError(Exception):
    """There is no PDF."""


class TexMissing(TexError):
    """There is no pdflatex, or a package that documents need is not installed."""

    def __init__(self, missing: str):
        super().__init__(missing)
        self.missing = missing  # "pdflatex", or a file such as "scrartcl.cls"

    def __str__(self) -> str:
        return f"{self.missing} was not found; to install it, {INSTALL}"


class TexFailed(TexError):
    """pdflatex ran and found an error in the document."""

    def __init__(self, message: str, line: int | None, log: str):
        super().__init__(message, line, log)
        self.message = message  # the first line of the log that begins with "!", without the "!"
        self.line = line  # of the .tex
        self.log = log

    def __str__(self) -> str:
        return f"pdflatex failed{f' at line {self.line}' if self.line else ''}: {self.message}"


class TexTimeout(TexError):
    """pdflatex was still running when its time was up, and was killed."""

    def __init__(self, seconds: float):
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"pdflatex was still running after {self.seconds:g} seconds and was stopped"


@dataclass(frozen=True)
class Compiled:
    """A PDF and how its last pass went."""

    pdf: bytes
    log: str


@dataclass(frozen=True)
class Overfull:
    """Something that sticks out of its box."""

    points: float  # by how much
    where: str  # as the log says it: "in paragraph at lines 12--14"


def compile_pdf(tex: str, seconds: float = 60.0) -> Compiled:
    """Compile a document. `seconds` limits each pass. Raises TexMissing, TexFailed or TexTimeout."""
    program = shutil.which("pdflatex")
    if program is None:
        raise TexMissing("pdflatex")
    with tempfile.TemporaryDirectory(prefix="lstmgen-") as name:
        folder = Path(name)
        (folder / f"{_JOB}.tex").write_text(tex, encoding="utf-8", newline="\n")
        log = _passes(program, folder, seconds)
        return Compiled((folder / f"{_JOB}.pdf").read_bytes(), log)


def overfull_boxes(log: str) -> list[Overfull]:
    """What the log says sticks out, in the order of the document."""
    found = re.finditer(r"^Overfull \\[hv]box \(([0-9.]+)pt too (?:wide|high)\) *(.*)$", log, re.MULTILINE)
    return [Overfull(float(box[1]), box[2]) for box in found]


def _passes(program: str, folder: Path, seconds: float) -> str:
    """Run until a pass leaves the notes for the next one as it found them. Returns the last log.

    That asks for a third pass exactly where the log would ("Rerun to get cross-references right"), and
    where only the table of contents has moved as well, of which the log says nothing.
    """
    log, notes = _run(program, folder, seconds), _notes(folder)
    for _ in range(_MOST_PASSES - 1):
        before = notes
        log, notes = _run(program, folder, seconds), _notes(folder)
        if notes == before:
            break
    return log


def _notes(folder: Path) -> dict[str, bytes]:
    """What a pass leaves for the next: .aux, .toc, .out and the like."""
    files = (path for path in folder.iterdir() if path.is_file())
    return {path.name: path.read_bytes() for path in files if path.suffix not in (".tex", ".log", ".pdf")}


def _run(program: str, folder: Path, seconds: float) -> str:
    """One pass. Returns its log."""
    command = [program, "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", f"{_JOB}.tex"]
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    environment |= _SANDBOX | {"HOME": str(folder)}
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a process group of its own, so that all of it can be killed
        )
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TexTimeout(seconds) from None
        finally:
            if process.returncode is None:  # out of time, or somebody pressed Ctrl-C
                _kill(process)
        said.seek(0)
        log = _log(folder) or said.read().decode("utf-8", errors="replace")
    if status != 0 or not (folder / f"{_JOB}.pdf").is_file():
        raise _failure(log)
    return log


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (AttributeError, ProcessLookupError):  # no process groups here, or gone already
        process.kill()
    process.wait()


def _log(folder: Path) -> str | None:
    """None where TeX did not come as far as opening one: then what it printed has to do."""
    try:
        return (folder / f"{_JOB}.log").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _failure(log: str) -> TexError:
    """The error that a log tells of."""
    missing = re.search(r"^! LaTeX Error: File `([^']+\.(?:sty|cls|def))' not found", log, re.MULTILINE)
    if missing:
        return TexMissing(missing[1])
    error = re.search(r"^! *(.*)$", log, re.MULTILINE)
    if not error:
        last = next((line for line in reversed(log.splitlines()) if line.strip()), "it printed nothing")
        return TexFailed(last.strip(), None, log)
    line = re.compile(r"^l\.(\d+)", re.MULTILINE).search(log, error.end())
    return TexFailed(error[1].strip(), int(line[1]) if line else None, log)
