"""A character model of Python source, trained with a generated module.

    python examples/char_model.py --short        about a minute
    python examples/char_model.py                about ten minutes, and better
    python examples/char_model.py --module generated/gru.py
    python examples/char_model.py --in-c build/c      with the C of the same cell, where a compiler is found

The text is a fixed list of files of Python's own standard library; four of them are held out. The cell
comes from the module; the read-out, Adam and the loop are below, in NumPy. What is printed is measured on
the files held out, beside a unigram and a bigram model of the same training text.
"""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import os
import platform
import sys
import sysconfig
import time
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

# One thread: the figures do not depend on the number of cores, and on a busy machine none waits for another.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import numpy as np

DEFAULT_MODULE = Path(__file__).resolve().parent.parent / "generated" / "peephole_lstm.py"

TRAINED_ON = """
    argparse bdb cmd configparser contextlib csv dataclasses difflib enum functools inspect ipaddress
    mailbox optparse pdb random shutil smtplib socketserver subprocess tempfile threading
    unittest/case urllib/request
""".split()
HELD_OUT = ["calendar", "textwrap", "urllib/parse", "weakref"]

OTHER = "\x7f"  # stands for every character that is not in the alphabet
ALPHABET = "\n" + "".join(map(chr, range(32, 127))) + OTHER
SIZE = len(ALPHABET)
EMBEDDING = 48  # numbers that a character is read as
STREAMS = 16  # in which the text held out is read side by side
PROMPTS = ["def ", "class ", "    if "]
BITS = 1 / np.log(2)  # in a nat


class Settings(NamedTuple):
    hidden: int
    steps: int  # of Adam, one for each chunk
    length: int = 64  # characters that the gradient goes back through
    batch: int = 16  # pieces of the text that are read side by side
    rate: float = 8e-3  # learning rate at its highest
    clip: float = 1.0  # the largest norm of the cell's gradient


SHORT = Settings(hidden=128, steps=3000)
SHORT_IN_C = SHORT._replace(steps=7000)  # in about the same time
LONG = Settings(hidden=256, steps=8000, length=100)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Trains a generated module on Python's standard library.")
    parser.add_argument("--module", type=Path, default=DEFAULT_MODULE, help="generated from a spec")
    parser.add_argument("--in-c", type=Path, metavar="FOLDER",
                        help="where `lstmgen build SPEC --target c` wrote the cell: used if it can be compiled")
    parser.add_argument("--short", action="store_true", help="about a minute instead of ten")
    parser.add_argument("--hidden-size", type=int, help="units of the cell")
    parser.add_argument("--steps", type=int, help="steps of training")
    parser.add_argument("--seed", type=int, default=0, help="of parameters and samples (%(default)s)")
    given = parser.parse_args(arguments)
    try:
        module = in_c(given.in_c / f"{given.module.stem}_c.py") if given.in_c else None
        settings = LONG if not given.short else SHORT_IN_C if module else SHORT
        settings = settings._replace(
            hidden=given.hidden_size or settings.hidden, steps=given.steps or settings.steps
        )
        run(module or load_module(given.module), settings, given.seed)
    except Unusable as problem:
        parser.exit(2, f"{parser.prog}: {problem}\n")


class Unusable(Exception):
    """What stands in the way, as a sentence."""


def run(module: ModuleType, settings: Settings, seed: int) -> None:
    """Train, measure, sample; print what comes out."""
    train, test = encode(read_library(TRAINED_ON)), encode(read_library(HELD_OUT))
    print(f"text      {len(TRAINED_ON)} files of Python {platform.python_version()}, {len(train)} characters;"
          f" held out: {len(HELD_OUT)} files, {len(test)} characters")
    rng = np.random.default_rng(seed)
    model = Model(module, settings.hidden, rng)
    count = sum(array.size for array in model.weights.values())
    print(f"model     {module.__name__}, {settings.hidden} units, {count} numbers to learn; seed {seed}")
    print(f"training  {settings.steps} steps of {settings.batch} x {settings.length} characters, float32")

    started = time.perf_counter()
    done = fit(model, train, settings)
    print(f"          {done} steps in {time.perf_counter() - started:.0f} s")

    known, wanted = side_by_side(test)
    unigram, bigram = count_models(train)
    print("\nbits per character on the files held out")
    print(f"  unigram model  {-np.log2(unigram[wanted]).mean():.3f}")
    print(f"  bigram model   {-np.log2(bigram[known, wanted]).mean():.3f}")
    print(f"  {module.__name__:<13}  {model.bits(known, wanted):.3f}")

    for prompt in PROMPTS:
        print(f"\n--- sampled after {prompt!r}\n{prompt}{model.sample(prompt, 250, rng)}")


# ---------------------------------------------------------------- text


def read_library(names: list[str]) -> str:
    """Files of the standard library of the Python that runs this, one after the other."""
    folder = Path(sysconfig.get_path("stdlib"))
    try:
        return "".join((folder / f"{name}.py").read_text(encoding="utf-8") for name in names)
    except OSError as error:
        raise Unusable(f"this Python comes without the source of its library: {error}") from None


def encode(text: str) -> np.ndarray:
    """The number of each character in the alphabet."""
    numbers = {char: number for number, char in enumerate(ALPHABET)}
    return np.array([numbers.get(char, numbers[OTHER]) for char in text])


def side_by_side(text: np.ndarray, streams: int = STREAMS) -> tuple[np.ndarray, np.ndarray]:
    """The text cut into equal pieces, one per column, and beside each character the one that follows."""
    length = (len(text) - 1) // streams
    known, wanted = text[: length * streams], text[1 : length * streams + 1]
    return known.reshape(streams, length).T, wanted.reshape(streams, length).T


def count_models(text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What counting gives: the probability of each character, and of each after each.

    Unseen characters are smoothed: one is added to every count of the unigram model, and five characters
    drawn from the unigram model to those after each character.
    """
    unigram = np.bincount(text, minlength=SIZE) + 1.0
    unigram /= unigram.sum()
    pairs = np.bincount(text[:-1] * SIZE + text[1:], minlength=SIZE**2).reshape(SIZE, SIZE)
    return unigram, (pairs + 5 * unigram) / (pairs.sum(1, keepdims=True) + 5)


# ---------------------------------------------------------------- model


def load_module(path: Path) -> ModuleType:
    """The generated module in a file, if it is one that can read characters."""
    if not path.is_file():
        raise Unusable(f"there is no {path}; to build it: lstmgen build {path.stem} -o {path.parent}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sizes = set(inspect.signature(module.init_params).parameters)
    inputs = set(inspect.signature(module.forward).parameters) - {"params", "state"}
    if not {"input_size", "hidden_size"} <= sizes or len(inputs) != 1 or hasattr(module, "Outputs"):
        raise Unusable(f"{path.name} is no cell of one input of input_size, and one output, without a loss")
    return module


def in_c(path: Path) -> ModuleType | None:
    """The same cell in C; None, and a line that says why, where it cannot be compiled."""
    try:
        module = load_module(path)
    except (ImportError, Unusable) as problem:
        print(f"cell      in NumPy: {problem}")
        return None
    module.set_threads(1)
    print("cell      in C, in one thread")
    return module


class Model:
    """A generated cell between an embedding of the characters and a softmax over them."""

    def __init__(self, module: ModuleType, hidden: int, rng: np.random.Generator):
        self.module = module
        known = {"input_size", "hidden_size", "rng", "dtype"}
        others = set(inspect.signature(module.init_params).parameters) - known
        sizes = dict.fromkeys(others, hidden // 2)  # such as projection_size
        self.cell = module.init_params(EMBEDDING, hidden, rng=rng, dtype=np.float32, **sizes)
        views = module.named(self.cell)
        if "b_f" in views:
            views["b_f"][...] = 1  # remember, until something else is learned
        embedding = rng.standard_normal((SIZE, EMBEDDING)).astype(np.float32)
        y, _ = module.step(self.cell, embedding[:1])
        limit = np.sqrt(6 / (y.shape[-1] + SIZE))
        self.rest = {
            "E": embedding,
            "V": rng.uniform(-limit, limit, (SIZE, y.shape[-1])).astype(np.float32),
            "a": np.zeros(SIZE, np.float32),
        }

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """All that is learned: the cell's parameters, the embedding's and the read-out's."""
        return {**{f"cell.{name}": array for name, array in self.cell.items()}, **self.rest}

    def learn(self, known: np.ndarray, wanted: np.ndarray, state, clip: float):
        """(loss in nats per character, gradients of `weights`, the state to go on from)."""
        y, state, tape = self.module.forward(self.cell, self.rest["E"][known], state)
        loss, dy, grads = read_out(self.rest, y, wanted)
        back = self.module.backward(self.cell, tape, dy)
        inputs, = back[1:-1]  # between params and state: the gradient at the cell's one input
        grads["E"] = np.eye(SIZE, dtype=np.float32)[:, known.ravel()] @ inputs.reshape(known.size, -1)
        cell = self.module.clip_by_norm(back, clip).params
        return loss, {**{f"cell.{name}": grad for name, grad in cell.items()}, **grads}, state

    def bits(self, known: np.ndarray, wanted: np.ndarray, length: int = 100) -> float:
        """Bits per character; the state starts from nothing and is handed on."""
        total, state = 0.0, None
        for start in range(0, len(known), length):
            piece = slice(start, start + length)
            y, state, _ = self.module.forward(self.cell, self.rest["E"][known[piece]], state)
            total += read_out(self.rest, y, wanted[piece])[0] * known[piece].size
        return total / known.size * BITS

    def sample(self, prompt: str, length: int, rng: np.random.Generator, temperature: float = 0.7) -> str:
        """Go on from a prompt, one character at a time."""
        written, state = [], None
        numbers = encode("\n" + prompt)
        while len(written) < length:
            for number in numbers:
                y, state = self.module.step(self.cell, self.rest["E"][[number]], state)
            logits = (y @ self.rest["V"].T + self.rest["a"])[0].astype(np.float64) / temperature
            chances = np.exp(logits - logits.max())
            numbers = [rng.choice(SIZE, p=chances / chances.sum())]
            written.append(ALPHABET[numbers[0]])
        return "".join(written)


def read_out(weights: dict[str, np.ndarray], y: np.ndarray, wanted: np.ndarray):
    """Softmax of V y + a: (mean cross entropy in nats, its gradient at y, its gradients at V and a)."""
    logits = y @ weights["V"].T + weights["a"]
    logits = (logits - logits.real.max(-1, keepdims=True)).reshape(-1, SIZE)
    chances = np.exp(logits)
    total = chances.sum(-1, keepdims=True)
    chosen = np.arange(wanted.size), wanted.ravel()
    loss = (np.log(total[:, 0]) - logits[chosen]).mean()
    d_logits = chances / total
    d_logits[chosen] -= 1  # softmax minus one-hot
    d_logits /= wanted.size
    return loss, (d_logits @ weights["V"]).reshape(y.shape), {
        "V": d_logits.T @ y.reshape(wanted.size, -1),
        "a": d_logits.sum(0),
    }


# ---------------------------------------------------------------- training


class Adam:
    """Kingma and Ba 2015. Changes the arrays it is given."""

    def __init__(self, weights: dict[str, np.ndarray], decay=(0.9, 0.99), small=1e-8):
        self.weights, self.decay, self.small, self.count = weights, decay, small, 0
        self.mean = {name: np.zeros_like(array) for name, array in weights.items()}
        self.square = {name: np.zeros_like(array) for name, array in weights.items()}

    def step(self, grads: dict[str, np.ndarray], rate: float) -> None:
        self.count += 1
        first, second = self.decay
        rate *= np.sqrt(1 - second**self.count) / (1 - first**self.count)
        for name, array in self.weights.items():
            mean, square, grad = self.mean[name], self.square[name], grads[name]
            mean += (1 - first) * (grad - mean)
            square += (1 - second) * (grad * grad - square)
            array -= array.dtype.type(rate) * mean / (np.sqrt(square) + array.dtype.type(self.small))


def fit(model: Model, text: np.ndarray, settings: Settings) -> int:
    """Truncated backpropagation through time; answers how many steps it took."""
    known, wanted = side_by_side(text, settings.batch)
    adam, bar = Adam(model.weights), Progress(settings.steps)
    state, start, average = None, 0, np.log(SIZE)
    for step in range(settings.steps):
        if start + settings.length > len(known):
            state, start = None, 0  # the text is at its end: from the top, with nothing in mind
        piece = slice(start, start + settings.length)
        try:
            loss, grads, state = model.learn(known[piece], wanted[piece], state, settings.clip)
        except KeyboardInterrupt:
            bar.end()
            return step
        # The state's value is handed on, its gradient is not: what a chunk learns ends where it begins.
        adam.step(grads, settings.rate * learning_rate(step / settings.steps))
        start += settings.length
        average += 0.03 * (float(loss) - average) if step else float(loss) - average
        bar.show(step + 1, f"{average * BITS:.2f} bits per character")
    bar.end()
    return settings.steps


def learning_rate(done: float) -> float:
    """Its share of the highest: a short rise, then half a cosine down to nothing."""
    return min(1.0, done / 0.02 + 0.05) * 0.5 * (1 + np.cos(np.pi * done))


class Progress:
    """A bar on a terminal, ten lines elsewhere."""

    def __init__(self, total: int, width: int = 30):
        self.total, self.width, self.terminal = total, width, sys.stdout.isatty()
        self.started = self.shown = time.perf_counter()

    def show(self, done: int, what: str) -> None:
        now = time.perf_counter()
        if self.terminal and (now - self.shown > 0.1 or done == self.total):
            self.shown = now
            full = self.width * done // self.total
            left = (now - self.started) * (self.total - done) / done
            bar = "#" * full + "." * (self.width - full)
            print(f"\r          [{bar}] {what}, {left:.0f} s left\x1b[K", end="", flush=True)
        elif not self.terminal and done * 10 // self.total > (done - 1) * 10 // self.total:
            print(f"          {done}/{self.total}: {what}", flush=True)

    def end(self) -> None:
        if self.terminal:
            print("\r\x1b[K", end="")


if __name__ == "__main__":
    main()
