"""Every cell against somebody else's implementation of it, or a paper's equations under autograd.

tests/references holds what they computed, recorded once by its record.py; here our module for the same
spec computes the same: outputs, final states, and every gradient. Where their packages are installed, the
comparison is also made live, at fresh seeds.
"""

from __future__ import annotations

import itertools
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from references import oracle
from references.oracle import BOUNDS, Reference

from lstmgen import pipeline
from lstmgen.outputs.numpy.module import module_source
from lstmgen.schedule.make import make_schedule
from lstmgen.resources import find_spec

FOLDER = Path(__file__).parent / "references"
FILES = sorted(path.stem for path in FOLDER.glob("*.npz"))
INDEX = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))["references"]


@cache
def module_of(cell: str):
    """Our module for a spec, and its dimensions' keywords by symbol."""
    path = find_spec(cell)
    assert path is not None, f"specs/{cell}.yaml is gone, and its reference is left"
    spec = pipeline.load(path)
    text = module_source(make_schedule(pipeline.derive(spec)), verified=False)
    return pipeline.execute(text, cell), {dim.symbol: dim.keyword for dim in spec.dims}


@cache
def recorded(name: str) -> Reference:
    return Reference.load(FOLDER / f"{name}.npz")


def ours(reference: Reference, parameters: dict | None = None) -> dict[str, dict[str, np.ndarray]]:
    """What our module computes at a reference's arguments, in float64, in the reference's groups."""
    module, keywords = module_of(reference.about["cell"])
    arguments = {
        group: {name: np.asarray(value, np.float64) for name, value in held.items()}
        for group, held in reference.arrays.items()
    }
    sizes = {
        keywords[symbol]: count for symbol, count in reference.about["sizes"].items() if symbol in keywords
    }
    params = module.init_params(**sizes, dtype=np.float64)
    views = module.named(params)
    given = arguments["parameters"] if parameters is None else parameters
    assert set(views) == set(given), "the spec's parameters are called otherwise than the reference's"
    for name, value in given.items():
        views[name][...] = value
    start = arguments["start"]
    state = module.State(**start) if start else None
    y, end, tape = module.forward(params, *arguments["inputs"].values(), state)
    weights = arguments["weights"]
    if "loss" in arguments["outputs"]:
        outputs = {"loss": y}
        gradients = module.backward(params, tape, module.State(**arguments["end_weights"]))
    else:
        several = hasattr(y, "_fields")
        outputs = y._asdict() if several else dict.fromkeys(weights, y)
        dy = type(y)(**weights) if several else next(iter(weights.values()))
        gradients = module.backward(params, tape, dy, module.State(**arguments["end_weights"]))
    return {
        "outputs": outputs,
        "end": end._asdict(),
        "d_parameters": dict(module.named(gradients.params)),
        "d_inputs": {
            name: getattr(gradients, name) for name in arguments["inputs"] if name in gradients._fields
        },
        "d_start": gradients.state._asdict() if start else {},
    }


def errors(reference: Reference, found: dict[str, dict[str, np.ndarray]]) -> dict[str, float]:
    """The largest difference of each array, relative to its largest entry; 0 where both are zero."""
    worst = {}
    for group in oracle.COMPUTED:
        for name, expected in reference.arrays[group].items():
            value = np.asarray(found[group][name])
            assert value.shape == expected.shape, f"{group} {name}: {value.shape}, expected {expected.shape}"
            difference, scale = np.abs(value - expected).max(), np.abs(expected).max()
            worst[f"{group} {name}"] = float(difference / scale if scale else difference)
    return worst


def agree(reference: Reference) -> None:
    found = errors(reference, ours(reference))
    bound = BOUNDS[reference.about["precision"]]
    wrong = {name: f"{error:.1e}" for name, error in found.items() if not error <= bound}
    assert not wrong, f"differs from {reference.about['oracle']}: {wrong}"


@pytest.mark.parametrize("name", FILES)
def test_we_compute_what_others_recorded(name):
    agree(recorded(name))


@pytest.mark.parametrize("name", FILES)
def test_a_record_is_able_to_tell(name):
    """Steps, examples, states and sizes at which nothing can cancel or be mistaken for another."""
    reference = recorded(name)
    sizes, arrays = reference.about["sizes"], reference.arrays
    assert len(set(sizes.values())) == len(sizes) - reference.about["equal_sizes"]
    assert sizes["T"] >= 4 and sizes["B"] >= 3
    drawn = [value for group in oracle.DRAWN for value in arrays[group].values()]
    assert all(np.any(value) for value in drawn), "something was drawn as zero"
    assert set(arrays["weights"]) == set(arrays["outputs"]) - {"loss"}
    assert (
        set(arrays["end_weights"])
        == set(arrays["end"])
        == set(module_of(reference.about["cell"])[0].State._fields)
    )
    if reference.about["gradients"]:
        assert set(arrays["d_parameters"]) == set(arrays["parameters"])
        assert set(arrays["d_inputs"]) == set(arrays["inputs"]) - {"target"}
        assert set(arrays["d_start"]) == set(arrays["start"])


def same_shape(parameters: dict[str, np.ndarray]):
    pairs = itertools.combinations(sorted(parameters), 2)
    return [pair for pair in pairs if parameters[pair[0]].shape == parameters[pair[1]].shape]


@pytest.mark.parametrize("name", FILES)
def test_a_wrong_pairing_of_two_parameters_is_noticed(name):
    """What a mistaken gate order does: any two parameters of one shape, exchanged, and something differs."""
    reference = recorded(name)
    parameters = reference.arrays["parameters"]
    for a, b in same_shape(parameters):
        exchanged = {**parameters, a: parameters[b], b: parameters[a]}
        worst = max(errors(reference, ours(reference, exchanged)).values())
        assert worst > 1e-3, f"{a} and {b} can be exchanged, and nobody notices"


def test_a_gru_whose_z_means_the_opposite_is_noticed():
    """h = (1 - z) h[t-1] + z n, as Chung and others write it, is our GRU with the parameters of z negated."""
    reference = recorded("gru.torch")
    parameters = reference.arrays["parameters"]
    opposite = {name: -value if name.endswith("_z") else value for name, value in parameters.items()}
    assert max(errors(reference, ours(reference, opposite)).values()) > 1e-3


def test_a_wrong_gradient_alone_is_noticed():
    """The forward pass agrees, and one gradient is off by a millionth."""
    reference = recorded("peephole_lstm.torchrecurrent")
    found = ours(reference)
    found["d_parameters"]["p_i"] = found["d_parameters"]["p_i"] - 1e-6
    assert max(errors(reference, found).values()) > BOUNDS["float64"]


def test_the_index_lists_every_file_and_says_who():
    assert sorted(entry["file"].removesuffix(".npz") for entry in INDEX) == FILES
    for entry in INDEX:
        about = recorded(entry["file"].removesuffix(".npz")).about
        assert entry["cell"] == about["cell"] and entry["oracle"] == about["oracle"]
        assert entry["version"] == f"{about['package']} {about['version']}"
        assert entry["gradients"] == about["gradients"]
        assert entry["bound"] == BOUNDS[about["precision"]]
        assert entry["convention"]


# ---------------------------------------------------------------- live, where the packages are


def oracle_of(name: str):
    """An oracle, where its package is installed."""
    pytest.importorskip("torch")
    from references import equations, libraries, modern  # noqa: F401 (they register their oracles)

    found = next(each for each in oracle.ORACLES if each.name == name)
    pytest.importorskip(found.package)
    return found


LIVE = [
    "lstm.torch", "lstm_no_bias.torch", "projected_lstm.torch", "gru.torch", "rnn.torch",
    "lstm.onnxruntime", "peephole_lstm.onnxruntime", "cifg_lstm.onnxruntime",
    "gru.onnxruntime", "gru_reset_before.onnxruntime", "rnn.onnxruntime",
    "peephole_lstm.torchrecurrent", "lstm.keras",
]  # fmt: skip


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("name", LIVE)
def test_we_compute_what_others_do_now(name, steps, batch):
    agree(oracle.consult(oracle_of(name), seed=1000 * steps + batch, T=steps, B=batch))


@pytest.mark.parametrize("name", FILES)
def test_a_record_is_what_its_oracle_says_today(name):
    """The arguments to the bit; the results as far as versions and machines agree."""
    old, new = recorded(name), oracle.consult(oracle_of(name))
    assert {**new.about, "version": None} == {**old.about, "version": None}
    for group in oracle.DRAWN:
        assert all(np.array_equal(new.arrays[group][key], value) for key, value in old.arrays[group].items())
    assert max(errors(old, new.arrays).values()) <= BOUNDS[old.about["precision"]]
