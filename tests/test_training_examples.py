"""The examples that train past one process or device: the same losses as one that reads the whole batch."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lstmgen.pipeline import build

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SHORT = ["--hidden", "16", "--steps", "20", "--length", "12", "--batch", "8"]


@pytest.fixture(scope="module")
def cells(tmp_path_factory) -> Path:
    """A folder with lstm_torch.py and lstm_jax.py."""
    folder = tmp_path_factory.mktemp("cells")
    build("lstm", folder, targets=("torch", "jax"), verify=False, document=False)
    return folder


def losses(*command: object) -> list[float]:
    """What a run prints, in bits per character."""
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, cwd=EXAMPLES,
                          env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    found = [float(loss) for loss in re.findall(r"step \d+: ([\d.]+) bits per character", done.stdout)]
    assert len(found) == 10 and found[-1] < found[0] - 1, done.stdout
    return found


def test_two_processes_of_pytorch_train_as_one(cells):
    pytest.importorskip("torch")
    script = ["train_torch_ddp.py", cells / "lstm_torch.py", *SHORT]
    together = losses("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2, *script)
    assert together == pytest.approx(losses(*script), rel=1e-5)


def test_two_devices_of_jax_train_as_one(cells):
    pytest.importorskip("jax")
    script = ["train_jax_sharded.py", cells / "lstm_jax.py", *SHORT, "--devices"]
    assert losses(*script, 2) == pytest.approx(losses(*script, 1), rel=1e-5)


def test_a_batch_that_cannot_be_shared_alike(cells):
    pytest.importorskip("jax")
    done = subprocess.run([sys.executable, "train_jax_sharded.py", cells / "lstm_jax.py", "--devices", "3"],
                          capture_output=True, text=True, cwd=EXAMPLES)
    assert done.returncode == 2 and "3 devices cannot share a batch of 16 alike" in done.stderr
