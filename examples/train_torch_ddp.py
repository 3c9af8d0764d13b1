"""The character model of char_model.py in PyTorch, in one process or in several that share each batch.

    lstmgen build lstm --target torch -o build/torch
    python examples/train_torch_ddp.py build/torch/lstm_torch.py
    torchrun --standalone --nproc-per-node 2 examples/train_torch_ddp.py build/torch/lstm_torch.py

Each process reads its part of the batch, and DistributedDataParallel averages the gradients. So the losses are those of
one process that reads all of it, up to rounding. With --target c beside --target torch, the cell computes in C.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from pathlib import Path

import torch
import torch.distributed as dist
from char_model import BITS, EMBEDDING, SIZE, TRAINED_ON, encode, read_library, side_by_side
from torch import nn
from torch.nn.parallel import DistributedDataParallel


class Model(nn.Module):
    """A generated layer between an embedding of the characters and scores for the next one."""

    def __init__(self, layer: nn.Module, hidden: int):
        super().__init__()
        self.embedding, self.layer, self.scores = nn.Embedding(SIZE, EMBEDDING), layer, nn.Linear(hidden, SIZE)

    def forward(self, known, wanted, state):
        """Characters (T, B), the ones that follow, and where the states start: (loss in nats, where they end)."""
        y, state = self.layer(self.embedding(known), state)
        return nn.functional.cross_entropy(self.scores(y).flatten(0, 1), wanted.flatten()), state


def train(module: Path, hidden: int, steps: int, length: int, batch: int) -> None:
    rank, together = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(0)  # the same parameters in each process
    model = DistributedDataParallel(Model(load(module).Layer(EMBEDDING, hidden), hidden))
    optimizer = torch.optim.Adam(model.parameters(), lr=8e-3, betas=(0.9, 0.99))

    # `batch` pieces of the text are read side by side; the columns of this process are mine.
    known, wanted = map(torch.from_numpy, side_by_side(encode(read_library(TRAINED_ON)), batch))
    mine = slice(rank * batch // together, (rank + 1) * batch // together)
    state = None
    for step in range(steps):
        start = step * length % (len(known) - length)
        now = slice(start, start + length)
        loss, state = model(known[now, mine], wanted[now, mine], state)
        state = type(state)(*(value.detach() for value in state))  # what a chunk learns ends where it begins
        optimizer.zero_grad()
        loss.backward()  # the derived backward pass; then the mean of all processes' gradients
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % max(1, steps // 10) == 0:
            dist.all_reduce(loss := loss.detach() / together)
            if rank == 0:
                print(f"step {step + 1}: {loss * BITS:.5f} bits per character", flush=True)


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("module", type=Path, help="NAME_torch.py")
    for name, usual in (("hidden", 128), ("steps", 200), ("length", 64), ("batch", 16)):
        parser.add_argument(f"--{name}", type=int, default=usual, help=f"default {usual}")
    given = parser.parse_args()
    for name, usual in (("RANK", "0"), ("WORLD_SIZE", "1"), ("MASTER_ADDR", "localhost"), ("MASTER_PORT", "0")):
        os.environ.setdefault(name, usual)  # torchrun has set them; alone, one process is rank 0 of 1
    if given.batch % int(os.environ["WORLD_SIZE"]):
        parser.error(f"{os.environ['WORLD_SIZE']} processes cannot share a batch of {given.batch} alike")
    dist.init_process_group("gloo")
    train(given.module, given.hidden, given.steps, given.length, given.batch)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
