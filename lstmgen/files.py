"""Write outputs whole or not at all, and never over a file that somebody edited.

The first comment of every generated text file has a line with a checksum of all other lines. If the checksum does
not fit, the file was edited; if there is none, the file was not generated. Such a file is overwritten only with force. A
PDF has no checksum; it counts as generated if the `.tex` beside it does.

The files of a build are first written under temporary names in the same folder, and then renamed. If anything fails, even
a rename, the old files are put back. Two builds into one folder at the same time do not disturb each other: the last
rename wins, with whole files.

This file knows nothing of specs, or of what is written.
"""

from __future__ import annotations

import difflib
import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_STAMP = re.compile(r"(?:[#%]|//|<!--) lstmgen: sha256:([0-9a-f]{16})(?: -->)?\r?\n?\Z")
_COMMENTS = {"#": "", "%": "", "//": "", "<!--": " -->"}  # what begins a comment in a file of ours, and what ends it
_DIFF_LINES = 12  # enough for a message
_DIFF_LIMIT = 500_000  # characters; comparing more takes too long

_REASONS = {
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EEXIST: "a file of that name is in the way of the folder",
    errno.EISDIR: "is a folder, and a file was to be written there",
    errno.ENAMETOOLONG: "the name is too long",
}


class OutputError(Exception):
    """An output that cannot be written. Nothing was written."""

    def __init__(self, path: Path, reason: str):
        super().__init__(path, reason)  # both, so that the error can be pickled on the way back from a worker
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class OutputEdited(OutputError):
    """An output that was edited since it was generated, or never generated. Nothing was written."""

    def __init__(self, path: Path, reason: str, diff: str):
        super().__init__(path, reason)
        self.args = (path, reason, diff)
        self.diff = diff  # what would be removed (-) and added (+), shortened; "" for a PDF

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.diff}" if self.diff else super().__str__()


def stamp(text: str, comment: str) -> str:
    """The text with its checksum, as the last line of the comment that opens it.

    `comment` begins a comment: `#`, `%`, `//` or `<!--`. A text without a comment at its top gets the stamp in its
    first line.
    """
    lines = _lines(text)
    end = _opening(lines, comment)
    return "".join([*lines[:end], f"{comment} lstmgen: sha256:{_checksum(text)}{_COMMENTS.get(comment, '')}\n", *lines[end:]])


def is_edited(text: str) -> bool:
    """Whether a text was changed since it was stamped. A text without a stamp counts as changed."""
    lines = _lines(text)
    for position in range(_opening(lines, next(filter(text.startswith, _COMMENTS), ""))):
        found = _STAMP.match(lines[position])
        if found:
            rest = "".join(lines[:position] + lines[position + 1 :])
            return _checksum(rest) != found[1]
    return True


def write_outputs(folder: Path, outputs: dict[str, bytes], force: bool) -> None:
    """Write all of these files into a folder, which is made if it is missing; or change nothing.

    Names are bare file names. A symbolic link of such a name is replaced, and its target is not touched.
    Raises OutputEdited if an existing file was edited and `force` is not set, and OutputError if a file cannot be
    written. Only a machine that stops between two renames can leave a part of a build.
    """
    _require_bare(outputs)
    for name in outputs:
        _require_replaceable(folder / name)
    if not force:
        for name, content in outputs.items():
            _refuse_edited(folder / name, content)
    _write(folder, outputs)


def _lines(text: str) -> list[str]:
    """Lines with their ends. Only `\\n` ends one: splitlines() breaks at form feeds and more as well."""
    return [line for line in re.split(r"(?<=\n)", text) if line]


def _opening(lines: list[str], comment: str) -> int:
    """How many lines of comment a text begins with."""
    if comment not in _COMMENTS:
        return 0
    for number, line in enumerate(lines):
        if not (line.startswith(comment) and line.endswith("\n")):
            return number
    return len(lines)


def _checksum(text: str) -> str:
    """The checksum of a text with plain line ends: git changes them on some systems, and that is no edit."""
    return hashlib.sha256(text.replace("\r\n", "\n").encode("utf-8")).hexdigest()[:16]


def _require_bare(outputs: dict[str, bytes]) -> None:
    for name in outputs:
        if name in ("", ".", "..") or any(char in name for char in "/\\:\0"):
            raise ValueError(f"an output's name is a bare file name, and {name!r} is none")


def _require_replaceable(path: Path) -> None:
    """Refuse to replace a folder, a pipe or a device."""
    with _explained(path):
        try:
            mode = path.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return
    if stat.S_ISDIR(mode):
        raise OutputError(path, _REASONS[errno.EISDIR])
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        raise OutputError(path, "is no plain file, and one was to be written there")


def _refuse_edited(path: Path, content: bytes) -> None:
    if path.is_symlink() or not path.exists():
        return
    old = _content(path)
    if old == content or _is_ours(path, old):
        return
    if path.suffix == ".pdf":
        beside = path.with_suffix(".tex").name
        reason = f"no generated {beside} lies beside it, so it may be somebody's own; --force overwrites it"
        raise OutputEdited(path, reason, "")
    reason = "was edited since it was generated, or is somebody's own; --force overwrites it"
    raise OutputEdited(path, reason, _diff(path.name, old, content))


def _is_ours(path: Path, content: bytes) -> bool:
    if path.suffix == ".pdf":
        source = path.with_suffix(".tex")
        return source.is_file() and not source.is_symlink() and _is_ours(source, _content(source))
    try:
        return not is_edited(content.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def _content(path: Path) -> bytes:
    with _explained(path):
        return path.read_bytes()


def _diff(name: str, old: bytes, new: bytes) -> str:
    """The first lines that overwriting would change."""
    if len(old) + len(new) > _DIFF_LIMIT:
        return ""
    before, after = (content.decode("utf-8", errors="replace").splitlines() for content in (old, new))
    names = f"{name} (as it is)", f"{name} (generated)"
    lines = [_printable(line) for line in difflib.unified_diff(before, after, *names, lineterm="", n=1)]
    if len(lines) > _DIFF_LINES:
        lines[_DIFF_LINES:] = [f"... and {len(lines) - _DIFF_LINES} lines more"]
    return "\n".join(lines)


def _printable(line: str) -> str:
    """The text without control characters, which must not reach the terminal: it may come from anybody."""
    return "".join(char if char.isprintable() else " " for char in line)


def _write(folder: Path, outputs: dict[str, bytes]) -> None:
    """Write under a temporary name, keep the old file, rename. `undo` undoes every step until the last one is done."""
    with ExitStack() as undo:
        _make(folder, undo)
        written = {name: _write_beside(folder / name, content, undo) for name, content in outputs.items()}
        kept = {name: _keep(folder / name, undo) for name in outputs}
        for name, fresh in written.items():
            target = folder / name
            # Registered before the step, so that an interrupt cannot come between; undoing what was not done is harmless.
            undo.callback(_restore, kept[name], target)
            with _explained(target):
                os.replace(fresh, target)
        undo.pop_all()
    for old in kept.values():
        if old:
            old.unlink(missing_ok=True)


def _make(folder: Path, undo: ExitStack) -> None:
    """Make a folder, and its missing parents."""
    missing = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    for path in reversed(missing):
        undo.callback(_remove_folder, path)
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True)


def _remove_folder(path: Path) -> None:
    try:
        path.rmdir()
    except OSError:  # it was not made, or another build has used it meanwhile
        pass


def _write_beside(target: Path, content: bytes, undo: ExitStack) -> Path:
    """Write the content under a temporary name in the target's folder, and flush it to the disk."""
    path = _unused(target)
    undo.callback(path.unlink, missing_ok=True)
    with _explained(target), open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return path


def _keep(target: Path, undo: ExitStack) -> Path | None:
    """A second name for the target's old file, so that it can be put back; None if there is no file."""
    if not os.path.lexists(target):
        return None
    path = _unused(target)
    undo.callback(path.unlink, missing_ok=True)
    try:
        os.link(target, path, follow_symlinks=False)
    except (OSError, NotImplementedError):  # a file system or a platform without hard links
        with _explained(target):
            shutil.copy2(target, path, follow_symlinks=False)
    return path


def _restore(kept: Path | None, target: Path) -> None:
    if kept:
        os.replace(kept, target)
    else:
        target.unlink(missing_ok=True)


def _unused(target: Path) -> Path:
    """A hidden name in the same folder that no other build has."""
    return target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into a sentence about the file that the user knows."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0) or error.strerror or str(error)
        raise OutputError(path, reason) from error
