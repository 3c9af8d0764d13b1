"""Starts their interpreter with the driver, and reads what it gives back. Their code is run because it was asked for."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..foreign import SECONDS, ForeignError
from .survey import Survey

DRIVER = Path(__file__).with_name("driver.py")
EACH_STATEMENT = 3.0  # seconds that a statement at the top of their file may take, or a trial of a layout, at least
MOST_ARRAYS = 256 * 1024 * 1024  # bytes of what is given back

_savez: Callable[..., None] = np.savez  # mypy takes one of the arrays for its flag


@dataclass(frozen=True)
class Result:
    """What became of one job."""

    found: Sequence[Mapping[str, Any]]  # kind, step, keys, array
    failed: Mapping[str, Any] | None
    printed: str


@dataclass(frozen=True)
class Runner:
    """How their file is run."""

    code: Survey
    python: str = sys.executable
    seconds: float = SECONDS

    def run(
        self, jobs: Sequence[Mapping[str, Any]], arrays: Mapping[str, np.ndarray], trial: bool = False
    ) -> tuple[list[Result], dict[str, np.ndarray]]:
        """One process for all jobs. The results, fewer than jobs where time ran out, and the arrays of which they speak.

        `trial`: a job that takes long is stopped, and the next is tried.
        """
        with tempfile.TemporaryDirectory(prefix="lstmgen-") as folder:
            paths = {name: Path(folder) / name for name in ("task.json", "given.npz", "found.npz", "answer.json")}
            _savez(paths["given.npz"], **arrays)
            task = {
                "sources": [{"name": source.name, "text": source.text} for source in self.code.sources],
                "folder": str(Path(self.code.path).resolve().parent),
                "arrays": str(paths["given.npz"]), "found": str(paths["found.npz"]), "answer": str(paths["answer.json"]),
                "jobs": list(jobs), "limited": trial,
                "seconds_each": min(max(EACH_STATEMENT, self.seconds / 10), self.seconds), "enough": self.seconds / 2,
            }
            paths["task.json"].write_text(json.dumps(task), encoding="utf-8")
            self._start(str(paths["task.json"]), folder)
            return self._read(paths)

    def _start(self, task: str, folder: str) -> None:
        # -B: no bytecode beside somebody's file, which would be taken for a change of the same second and size
        command = [self.python, "-B", str(DRIVER), task]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=self.seconds, cwd=folder,
                                  stdin=subprocess.DEVNULL, check=False)
        except subprocess.TimeoutExpired:
            raise ForeignError(f"{self.code.path} was still running after {self.seconds:g} seconds and was stopped") from None
        except OSError as problem:
            raise ForeignError(f"--python {self.python} cannot be started: {problem.strerror or problem}") from None
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            if said == "NUMPY":
                raise ForeignError(f"{self.python} has no NumPy: {self.python} -m pip install numpy, or another --python")
            raise ForeignError(f"{self.code.path} ended its process: {said[:300]}")

    def _read(self, paths: Mapping[str, Path]) -> tuple[list[Result], dict[str, np.ndarray]]:
        try:
            told = json.loads(paths["answer.json"].read_text(encoding="utf-8"))
            if paths["found.npz"].stat().st_size > MOST_ARRAYS:
                raise ForeignError(f"{self.code.path} answered more than {MOST_ARRAYS >> 20} MiB")
            with np.load(paths["found.npz"], allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except (OSError, ValueError) as problem:
            raise ForeignError(f"{self.code.path} ended without an answer ({problem})") from None
        return [Result(each.get("found", ()), each.get("failed"), each["printed"]) for each in told["results"]], arrays
