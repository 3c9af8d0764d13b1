"""The PyTorch output: NAME_torch.py of every cell, beside the NumPy module and by PyTorch's own checks.

The long ones (torch.compile of every cell) are for `make test-torch`.
"""

from __future__ import annotations

import copy
import importlib.util
import inspect
import itertools
import os
import pickle
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from random_cells import make_spec

from lstmgen.cli.making import TARGETS as TARGETS_OF_COMMAND
from lstmgen.language import functions
from lstmgen.numerics.points import Point, choose_sizes, draw_point
from lstmgen.outputs import targets
from lstmgen.outputs.c.target import TARGET as C_TARGET
from lstmgen.outputs.numpy.module import module_source
from lstmgen.outputs.torch import functions as torch_functions
from lstmgen.outputs.torch.module import torch_source
from lstmgen.outputs.torch.target import TARGET
from lstmgen.pipeline import _schedule, build, execute
from lstmgen.proofs.verify import verify_target
from lstmgen.resources import TEMPLATES, packaged_specs
from lstmgen.schedule.records import Schedule

torch = pytest.importorskip("torch")

CELLS = """
aaren antisymmetric_rnn atr brc cfc cfn cifg_lstm clockwork cornn delta_net egru elman_relu elman_tanh fastgrnn fastrnn
fgr_lstm forget_gate_lstm full_peephole_lstm gated_antisymmetric_rnn gated_delta_net gated_delta_net_heads gla
graves_2013 greff_lstm gru gru_d gru_reset_before hats_lstm hgrn2 indrnn indy_lstm intersection_rnn janet jordan
layer_norm_lstm layer_norm_lstm_carried layer_norm_lstm_gates lem light_ru ligru linear_attention lmu lru lstm
lstm_1997 lstm_heads lstm_no_bias ltc mamba2 mc_lstm mgu mingru mingru_log minimal_rnn minlstm miru mlstm mlstm_heads
multiplicative_lstm mut1 mut2 mut3 nas_lstm nbrc nested_lstm nfg_lstm ng_lstm ng_lstm_last niaf_lstm nig_lstm noaf_lstm
nog_lstm np_lstm on_lstm original_lstm peephole_lstm phased_lstm projected_lstm qrnn qrnn_window2 ran residual_lstm
retnet retnet_heads rg_lru rhn rnn rwkv7 rwkv7_heads s6 scrn sgrn sgu slstm slstm_heads spiking_lif sru stacked_lstm
star t_gru t_lstm t_rnn tau_gru titans truncated_peephole_lstm ttt_linear ugrnn unicornn wmc_lstm
""".split()

# A scalar input beside a vector, a matrix state, static stages, a loss at every step or at the last, stages after the loop.
ODD = ("lstm", "gru", "phased_lstm", "mlstm", "lmu", "ng_lstm", "ng_lstm_last", "qrnn")

# Their gradient is not that of their forward pass: `stop_gradient` holds something constant, `surrogate` replaces it, or
# `clip_gradient` clips it.
TRUNCATED = {"egru", "forget_gate_lstm", "graves_2013", "lmu", "lstm_1997", "spiking_lif", "truncated_peephole_lstm"}

every_cell = pytest.mark.parametrize("name", CELLS)
LONG = bool(os.environ.get("LSTMGEN_TORCH_LONG"))  # set by `make test-torch`
STEPS, BATCH = 3, 2
BOUND = 1e-11

_numbers = itertools.count()


def test_no_cell_is_left_out():
    assert sorted(CELLS) == [path.stem for path in packaged_specs()]


# ---------------------------------------------------------------- cells


@cache
def schedule_of(name: str) -> Schedule:
    return _schedule(name)


@cache
def reference(name: str) -> ModuleType:
    """The NumPy module."""
    return execute(module_source(schedule_of(name), verified=True), name)


def write(schedule: Schedule, folder: Path) -> Path:
    (path,) = (folder / file for file in TARGET.texts(schedule, reference, True, None))
    path.write_text(torch_source(schedule, verified=True), encoding="utf-8")
    return path


def import_path(path: Path) -> ModuleType:
    """A file as a module that `import` and pickle find, each time as one of its own."""
    location = importlib.util.spec_from_file_location(f"generated_{next(_numbers)}_{path.stem}", path)
    module = sys.modules[location.name] = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def module_of(tmp_path_factory) -> Callable[[str], ModuleType]:
    folder = tmp_path_factory.mktemp("torch")
    return cache(lambda name: import_path(write(schedule_of(name), folder)))


@dataclass
class Case:
    """A cell with numbers for everything that goes in, as tensors of float64 that need a gradient."""

    name: str
    module: ModuleType
    steps: int = STEPS
    batch: int = BATCH
    dtype: object = torch.float64

    def __post_init__(self):
        self.schedule = schedule_of(self.name)
        self.graph = self.schedule.graph
        self.sizes = choose_sizes(self.graph, least=2)
        self.keywords = {keyword: self.sizes[symbol] for symbol, keyword in self.graph.dims}
        self.point: Point = draw_point(self.graph, self.sizes, self.steps, self.batch, np.random.default_rng(3), 1.0)
        self.arrays = reference(self.name).init_params(**self.keywords, dtype=np.float64)
        named = reference(self.name).named(self.arrays)
        for parameter, array in self.point.parameters.items():
            named[parameter][...] = array
        self.params = {key: self.tensor(array).requires_grad_() for key, array in self.arrays.items()}
        self.inputs = [self.tensor(self.point.inputs[name]).requires_grad_() for name in self.graph.inputs]
        self.targets = [self.tensor(self.point.inputs[name]) for name in self.graph.targets]
        self.start = self.module.State(*(self.tensor(self.point.state[name]).requires_grad_() for name in self.graph.states))
        self.dstate = [self.tensor(self.point.final[name]) for name in self.graph.states]
        self.dy = [torch.ones((), dtype=self.dtype)] if self.graph.loss else [
            self.tensor(self.point.weights[name]) for name in self.graph.outputs]

    def tensor(self, array: np.ndarray):
        return torch.tensor(array, dtype=self.dtype)

    @property
    def variables(self) -> list:
        return [*self.params.values(), *self.inputs, *self.start]

    def made(self, forward=None, params=None, inputs=None, start=None) -> list:
        """The loss or the outputs, and the final state."""
        inputs = self.inputs if inputs is None else inputs
        first, end = (forward or self.module.forward)(
            params or self.params, *inputs, *self.targets, self.start if start is None else start)
        return [*(first if isinstance(first, tuple) else (first,)), *end]

    def function(self, *variables):
        """`made` of variables in a row."""
        count = len(self.params)
        params, rest = dict(zip(self.params, variables)), variables[count:]
        inputs, start = rest[:len(self.inputs)], self.module.State(*rest[len(self.inputs):])
        return tuple(self.made(params=params, inputs=inputs, start=start))

    def row(self) -> tuple:
        """The arguments of the forward operator."""
        return (*self.params.values(), *self.inputs, *self.targets, *self.start)

    def gradients(self, made: list, grads: list, of=None) -> list:
        of = self.variables if of is None else of
        found = torch.autograd.grad(made, of, grads, allow_unused=True, retain_graph=True)
        return [torch.zeros_like(value) if grad is None else grad for value, grad in zip(of, found)]

    def written_out(self, params, *arguments) -> tuple:
        """`forward` as a loop over `step`, for PyTorch's autograd; of a cell without a loss."""
        *inputs, state = arguments
        outputs = []
        for t in range(self.steps):
            y, state = self.module.step(params, *(value[t] for value in inputs), state)
            outputs.append(y if isinstance(y, tuple) else (y,))
        stacked = [torch.stack(values) for values in zip(*outputs)]
        return (self.module.Outputs(*stacked) if len(stacked) > 1 else stacked[0]), state


@pytest.fixture
def case(name, module_of) -> Case:
    return Case(name, module_of(name))


def close(found, expected, bound=BOUND) -> bool:
    """max|a - b| / max|b| of each, or / 1 where that is larger."""
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        if ours.numel() and not (ours - theirs).abs().max() <= bound * max(1.0, theirs.abs().max()):
            return False
    return True


# ---------------------------------------------------------------- every cell


@every_cell
def test_every_cell_passes_the_proofs_in_torch(name, tmp_path):
    write(schedule_of(name), tmp_path)
    figures = verify_target(schedule_of(name).graph, TARGET.load(tmp_path, name), reference(name))
    assert len(figures) > 12
    assert not [figure for figure in figures if not figure.passed]


@pytest.mark.parametrize("name", [name for name in CELLS if name not in TRUNCATED])
def test_gradcheck(case):
    """Of inputs, parameters and initial state, from outputs and final state; with gradients that are None."""
    assert torch.autograd.gradcheck(case.function, case.variables, fast_mode=True)


@every_cell
def test_opcheck(case):
    """Schema, registration of autograd, fake tensors, and compiling with sizes that vary; of both operators."""
    row = case.row()
    torch.library.opcheck(case.module._FORWARD, row)
    made = case.module._FORWARD(*row)
    tape = made[case.module._TAPE_AT:]
    held = [value.detach() for value in (*row, *tape, *case.dy, *case.dstate)]
    torch.library.opcheck(case.module._BACKWARD, tuple(held))
    held[-1] = None
    torch.library.opcheck(case.module._BACKWARD, tuple(held))


@every_cell
@pytest.mark.parametrize("steps, batch", [(0, 2), (1, 2), (2, 0), (0, 0), (1, 1)])
def test_sizes_at_the_edges(name, steps, batch, module_of):
    """No step, one step, no example: the same as the NumPy module, in shapes too."""
    if not steps and schedule_of(name).graph.has_loss_at_last:
        pytest.skip("a loss at the last step needs a step")
    case = Case(name, module_of(name), steps, batch)
    module = reference(name)
    arrays = [*(case.point.inputs[each] for each in (*case.graph.inputs, *case.graph.targets))]
    first, end, tape = module.forward(case.arrays, *arrays, module.State(**case.point.state))
    dy = [] if case.graph.loss else [[each.numpy() for each in case.dy]]
    dy = dy if case.graph.loss or len(case.dy) > 1 else dy[0]
    grads = module.backward(case.arrays, tape, *dy, dstate=[each.numpy() for each in case.dstate])
    made = case.made()
    expected = [*(first if isinstance(first, module.__dict__.get("Outputs", ())) else (first,)), *end]
    assert close([each.detach() for each in made], [torch.as_tensor(np.asarray(each)) for each in expected])
    params = [grads.params[key] for key in case.params]
    inputs = [getattr(grads, each) for each in case.graph.inputs]
    found = case.gradients(made, [*case.dy, *case.dstate])
    assert close(found, [torch.as_tensor(np.asarray(each)) for each in (*params, *inputs, *grads.state)])


@every_cell
def test_gradients_of_any_layout_and_of_parts(case):
    check_layouts_and_parts(case)


def check_layouts_and_parts(case: Case) -> None:
    made, outside = case.made(), [*case.dy, *case.dstate]
    expected = case.gradients(made, outside)
    turned = [value.detach().mT.contiguous().mT.requires_grad_() if value.ndim > 1 else value for value in case.variables]
    odd = [grad.repeat_interleave(2, -1)[..., ::2] if grad.ndim else grad for grad in outside]
    assert close(case.gradients(list(case.function(*turned)), odd, turned), expected)
    # each argument alone needs a gradient, and each result alone has one
    for place, value in enumerate(case.variables):
        alone = [each if each is value else each.detach() for each in case.variables]
        made = [each for each in zip(case.function(*alone), outside) if each[0].requires_grad]
        if made:
            assert close(case.gradients(*map(list, zip(*made)), [value]), expected[place:place + 1])
    parts = [case.gradients(case.made()[place:place + 1], [grad]) for place, grad in enumerate(outside)]
    assert close([sum(each) for each in zip(*parts)], expected)


@every_cell
def test_a_step_written_out_has_the_same_gradient(case):
    """PyTorch's autograd of `step`, against the derived backward pass."""
    if case.graph.loss:
        pytest.skip("a step has no loss")
    outside = [*case.dy, *case.dstate]
    derived, plain = case.made(), case.made(case.written_out)
    assert close([each.detach() for each in derived], [each.detach() for each in plain])
    assert close(case.gradients(derived, outside), case.gradients(plain, outside))


@every_cell
def test_layer_and_cell(case):
    """They give what the functions give; state_dict, pickle and copies keep the parameters."""
    module = case.module
    layer, cell = module.Layer(**case.keywords, dtype=case.dtype), module.Cell(**case.keywords, dtype=case.dtype)
    for each in (layer, cell):
        each.load_numpy(case.arrays)
        back = each.to_numpy()
        assert back.keys() == case.arrays.keys()
        assert all(np.array_equal(back[key], array) for key, array in case.arrays.items())
    assert [*dict(layer.named_parameters())] == [f"{key}_l0" for key in case.arrays]
    assert [*dict(cell.named_parameters())] == [*case.arrays]
    start = module.State(*(value[None] for value in case.start))
    first, end = layer(*case.inputs, *case.targets, start)
    ours = [*(first if isinstance(first, tuple) else (first,)), *(value[0] for value in end)]
    assert close(ours, case.made(), 0)
    state, outputs = case.start, []
    for t in range(case.steps):
        y, state = cell(*(value[t] for value in case.inputs), state)
        outputs.append(y if isinstance(y, tuple) else (y,))
    if not case.graph.loss:
        stacked = [torch.stack(values) for values in zip(*outputs)]
        assert close([*stacked, *state], case.made())
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert close(copied.parameters(), layer.parameters(), 0)
        (copied(*case.inputs, *case.targets)[0] if case.graph.loss else copied(*case.inputs)[1][0].sum()).backward()
        assert all(value.grad is None for value in layer.parameters())
    other = module.Layer(**case.keywords, dtype=case.dtype)
    other.load_state_dict(layer.state_dict())
    assert close(other.parameters(), layer.parameters(), 0)


@pytest.mark.parametrize("seed", range(200 if LONG else 10))
def test_random_cells(seed, tmp_path):
    """Cells that nobody wrote, from the whole language."""
    schedule = _schedule(make_spec(random.Random(seed).randrange))
    name, module = schedule.graph.spec.name, execute(module_source(schedule, verified=True), schedule.graph.spec.name)
    write(schedule, tmp_path)
    figures = verify_target(schedule.graph, TARGET.load(tmp_path, name), module)
    assert not [figure for figure in figures if not figure.passed]


# ---------------------------------------------------------------- layers, directions, lengths

# Why a cell has no second layer or direction; all others have.
NO_SECOND_LAYER = {
    "cfc": "it has several inputs", "gru_d": "it has several inputs", "ltc": "it has several inputs",
    "phased_lstm": "it has several inputs", "ng_lstm": "it gives a loss", "ng_lstm_last": "it gives a loss",
}
# The size of the input is also that of a state: layers need inputs as wide as outputs.
AS_WIDE = {"intersection_rnn", "qrnn_window2", "rg_lru", "s6", "t_gru", "t_lstm"}


def run(layer, *arguments, **options) -> list:
    """The loss or the outputs, and the final state, of a layer."""
    first, end = layer(*arguments, **options)
    return [*(first if isinstance(first, tuple) and not hasattr(first, "batch_sizes") else (first,)), *end]


def layer_of(case: Case, **options):
    torch.manual_seed(1)
    return case.module.Layer(**case.keywords, dtype=case.dtype, **options)


def like_pytorch(module: ModuleType, **options) -> tuple:
    """A layer of the LSTM and a torch.nn.LSTM with the same numbers."""
    torch.manual_seed(2)
    theirs = torch.nn.LSTM(3, 4, dtype=torch.float64, **options)
    ours = module.Layer(3, 4, dtype=torch.float64, **options)
    for layer, reverse in itertools.product(range(theirs.num_layers), (False, True)[:1 + theirs.bidirectional]):
        behind = f"_l{layer}" + "_reverse" * reverse
        params = ours.to_numpy(layer, reverse)
        named = module.named(params)
        for place, gate in enumerate("ifzo"):
            rows = slice(4 * place, 4 * place + 4)
            named[f"W_{gate}"][...] = getattr(theirs, f"weight_ih{behind}")[rows].detach()
            named[f"R_{gate}"][...] = getattr(theirs, f"weight_hh{behind}")[rows].detach()
            both = getattr(theirs, f"bias_ih{behind}") + getattr(theirs, f"bias_hh{behind}")
            named[f"b_{gate}"][...] = both[rows].detach()
        ours.load_numpy(params, layer, reverse)
    return ours, theirs


@pytest.mark.parametrize("num_layers, bidirectional, batch_first", [(1, False, True), (2, False, False), (3, True, True)])
def test_a_layer_is_what_pytorch_makes_of_it(num_layers, bidirectional, batch_first, module_of):
    ours, theirs = like_pytorch(
        module_of("lstm"), num_layers=num_layers, bidirectional=bidirectional, batch_first=batch_first)
    count = num_layers * (1 + bidirectional)
    pack, pad = torch.nn.utils.rnn.pack_padded_sequence, torch.nn.utils.rnn.pad_packed_sequence
    lengths = torch.tensor([4, 6, 1])
    padded = torch.randn(*((3, 6) if batch_first else (6, 3)), 3, dtype=torch.float64)
    for x, states in [
        (padded, (count, 3, 4)),
        (torch.randn(6, 3, dtype=torch.float64), (count, 4)),
        (pack(padded, lengths, batch_first, enforce_sorted=False), (count, 3, 4)),
        (pack(padded, torch.tensor([6, 4, 1]), batch_first), (count, 3, 4)),
    ]:
        start = [torch.randn(states, dtype=torch.float64, requires_grad=True) for _ in range(2)]
        for state in (None, start):
            y, end = ours(x, state)
            expected, (h, c) = theirs(x, None if state is None else tuple(state))
            if hasattr(expected, "batch_sizes"):
                assert all(torch.equal(*pair) for pair in zip(y[1:], expected[1:]) if pair[1] is not None)
                y, expected = y.data, expected.data
            assert close([y, *end], [expected, h, c], 1e-12)
        found, wanted = (torch.autograd.grad([a, b, c], start, [a.sin().detach(), b, c], retain_graph=True)
                         for a, b, c in ((y, *end), (expected, h, c)))
        assert close(found, wanted, 1e-12)
    y, end = ours(padded, lengths=lengths)
    packed, (h, c) = theirs(pack(padded, lengths, batch_first, enforce_sorted=False))
    assert close([y, *end], [pad(packed, batch_first)[0], h, c], 1e-12)


@every_cell
def test_every_cell_has_layers_and_directions_or_says_why_not(name, case):
    reason = NO_SECOND_LAYER.get(name)
    if reason:
        with pytest.raises(ValueError, match=f"num_layers is 2, and {name} cannot be stacked: {reason}"):
            layer_of(case, num_layers=2)
    if case.graph.loss:
        with pytest.raises(ValueError, match=f"bidirectional is True, and {name} has one direction alone: it gives a loss"):
            layer_of(case, bidirectional=True)
        return
    options = {"num_layers": 1 if reason else 2, "bidirectional": name not in AS_WIDE}
    if name in AS_WIDE:
        with pytest.raises(ValueError, match=f"{name} cannot be stacked at these sizes: the states of the layers"):
            layer_of(case, num_layers=2, bidirectional=True)
        case.keywords = dict.fromkeys(case.keywords, 3)
        case.inputs = [torch.randn(STEPS, BATCH, 3, dtype=case.dtype)]
    layer = layer_of(case, **options)
    whole = run(layer, *case.inputs)
    # by hand: each layer and direction with the functions of the file
    below, ends = case.inputs, []
    for index in range(options["num_layers"]):
        made = []
        for behind in ("", "_reverse")[:1 + options["bidirectional"]]:
            params = {key: getattr(layer, f"{key}_l{index}{behind}") for key in case.params}
            y, end = case.module.forward(params, *(value.flip(0) if behind else value for value in below))
            made.append(y.flip(0) if behind else y)
            ends.append(end)
        below = [torch.cat(made, -1)]
    assert close(whole, [below[0], *map(torch.stack, zip(*ends))], 0)


def split(value, example: int, steps: slice):
    """Some steps of one example."""
    return value[steps, example:example + 1]


@pytest.mark.parametrize("name", [*ODD, "residual_lstm", "mingru_log"])
@pytest.mark.parametrize("backwards", [False, True])
def test_lengths_stop_states_and_leave_zeros(name, backwards, module_of):
    """As each example alone; what lies behind an end is never read, and has no gradient."""
    case = Case(name, module_of(name), steps=5, batch=4)
    if backwards and case.graph.loss:
        pytest.skip("one direction alone")
    layer, lengths = layer_of(case, bidirectional=backwards), [3, 5, 1, 3]
    for value in (*case.inputs, *case.targets):
        for example, length in enumerate(lengths):
            if not (case.graph.has_loss_at_last and value is case.targets[0]):
                value.data[length:, example] = float("nan")
    if case.graph.has_loss_at_last:
        case.targets = [case.targets[0][-1]]
    start = case.module.State(*(value[None].repeat(1 + backwards, *[1] * value.ndim) for value in case.start))
    found = run(layer, *case.inputs, *case.targets, start, lengths=torch.tensor(lengths))
    alone = []
    for example, length in enumerate(lengths):
        inputs = [split(value, example, slice(length)) for value in case.inputs]
        targets = [value[example:example + 1] if case.graph.has_loss_at_last else split(value, example, slice(length))
                   for value in case.targets]
        alone.append(run(layer, *inputs, *targets, [value[:, example:example + 1] for value in start]))
    firsts, ends = zip(*((made[:-len(start)], made[-len(start):]) for made in alone))
    if case.graph.loss:
        expected = [sum(first for first, in firsts)]
    else:
        padded = [[torch.nn.functional.pad(value, (0, 0) * (value.ndim - 1) + (0, 5 - len(value))) for value in first]
                  for first in firsts]
        expected = [torch.cat(values, 1) for values in zip(*padded)]
    expected += [torch.cat(values, 1) for values in zip(*ends)]
    assert close(found, expected, 1e-12)
    weights = [torch.linspace(-1, 1, value.numel(), dtype=torch.float64).view(value.shape) for value in found]
    of = [*layer.parameters(), *case.inputs, *case.start]
    ours, theirs = case.gradients(found, weights, of), case.gradients(expected, weights, of)
    assert close(ours, theirs)
    for gradient in ours[-len(start) - len(case.inputs):-len(start)]:
        assert all(not gradient[length:, example].any() for example, length in enumerate(lengths))


@pytest.mark.parametrize("name", ["lstm", "ng_lstm", "mlstm", "phased_lstm", "mingru_log"])
@pytest.mark.parametrize("backwards", [False, True])
def test_states_start_anew_in_the_middle(name, backwards, module_of):
    """As pieces of the sequence one by one; also where examples end earlier."""
    case = Case(name, module_of(name), steps=6, batch=3)
    if backwards and case.graph.loss:
        pytest.skip("one direction alone")
    layer = layer_of(case, bidirectional=backwards)
    is_init = torch.zeros(6, 3, dtype=torch.bool)
    is_init[0, 1] = is_init[2, 0] = is_init[2, 2] = is_init[5, 0] = True
    lengths = [6, 4, 3]
    start = case.module.State(*(value[None].repeat(1 + backwards, *[1] * value.ndim) for value in case.start))
    found = run(layer, *case.inputs, *case.targets, start, lengths=lengths, is_init=is_init)
    if case.graph.loss:
        expected = 0.0
    for example, length in enumerate(lengths):
        cuts = sorted({0, length, *(t for t in range(length) if is_init[t, example])})
        pieces, state = [], [value[:, example:example + 1] for value in start]
        ends = []
        for begin, end in zip(cuts, cuts[1:]):
            arguments = [split(value, example, slice(begin, end)) for value in (*case.inputs, *case.targets)]
            forward = None if is_init[begin, example] else state if begin == 0 else None
            if backwards:  # the second direction begins at the end of the sequence, with the state given
                fresh = case.module._start_of(case.params, *arguments, None)
                forward = case.module.State(*(torch.stack([
                    (value[0] if begin == 0 and not is_init[0, example] else new),
                    (value[1] if end == length else new)]) for value, new in zip(state, fresh)))
            made = run(layer, *arguments, forward)
            pieces.append(made[0])
            ends.append(made[-len(start):])
        last = [torch.stack([late[0], early[-1]])[:1 + backwards] for late, early in zip(ends[-1], ends[0])]
        assert close([value[:, example:example + 1] for value in found[-len(start):]], last, 1e-12)
        if case.graph.loss:
            expected = expected + sum(pieces)
        else:
            assert close([found[0][:length, example:example + 1]], [torch.cat(pieces)], 1e-12)
    if case.graph.loss:
        assert close(found[:1], [expected], 1e-12)


@pytest.mark.parametrize("name", ["lstm", "mlstm", "phased_lstm", "mingru_log"])
def test_gradients_where_states_start_anew(name, module_of):
    """Those of PyTorch's autograd through `step`, with a state chosen before each."""
    case = Case(name, module_of(name), steps=6, batch=3)
    layer = layer_of(case)
    is_init = torch.zeros(6, 3, dtype=torch.bool)
    is_init[0, 1] = is_init[2, 0] = is_init[2, 2] = is_init[5, 0] = True
    params = {key: getattr(layer, f"{key}_l0") for key in case.params}
    fresh, state, outputs = case.module._start_of(params, *case.inputs, None), case.start, []
    for t in range(6):
        state = case.module.State(*(torch.where(is_init[t].view(3, *[1] * (old.ndim - 1)), new, old)
                                    for new, old in zip(fresh, state)))
        y, state = case.module.step(params, *(value[t] for value in case.inputs), state)
        outputs.append(y)
    found = run(layer, *case.inputs, [value[None] for value in case.start], is_init=is_init)
    expected = [torch.stack(outputs), *(value[None] for value in state)]
    of = [*layer.parameters(), *case.inputs, *case.start]
    weights = [torch.linspace(-1, 1, value.numel(), dtype=torch.float64).view(value.shape) for value in found]
    assert close(found, expected, 1e-12)
    assert close(case.gradients(found, weights, of), case.gradients(expected, weights, of))
    assert not any(gradient[1].any() for gradient in case.gradients(found, weights, case.start))  # it began anew at once


@pytest.mark.parametrize("steps, batch", [(0, 2), (2, 0), (0, 0), (1, 1)])
@pytest.mark.parametrize("options", [{}, {"lengths": True}, {"is_init": True}, {"lengths": True, "is_init": True}])
def test_a_layer_at_the_edges(steps, batch, options, module_of, c_module_of):
    """No step, no example: as torch.nn.LSTM has it, and every gradient is zero."""
    given = {"lengths": [steps] * batch, "is_init": torch.zeros(steps, batch, dtype=torch.bool)}
    for module in (module_of("lstm"), c_module_of("lstm")):
        layer, x = module.Layer(3, 4, 2, bidirectional=True), torch.randn(steps, batch, 3, requires_grad=True)
        y, end = layer(x, **{name: given[name] for name in options})
        assert y.shape == (steps, batch, 8) and {value.shape for value in end} == {(4, batch, 4)}
        grads = torch.autograd.grad(y.sum() + sum(value.sum() for value in end), [x, *layer.parameters()])
        assert all(grad.isfinite().all() and (steps * batch > 0 or not grad.any()) for grad in grads)


def test_shapes_alone(module_of, c_module_of):
    """On the device "meta" there are no numbers."""
    for module in (module_of("lstm"), c_module_of("lstm")):
        layer, x = module.Layer(3, 4, device="meta"), torch.randn(5, 2, 3, device="meta", requires_grad=True)
        y, end = layer(x)
        y.sum().backward()
        assert y.shape == (5, 2, 4) and end.c.shape == (1, 2, 4) and x.grad.shape == x.shape and layer.W_l0.grad.is_meta


def test_a_state_starts_anew_from_what_is_learned(module_of):
    case = Case("ng_lstm", module_of("ng_lstm"))
    layer = layer_of(case)
    is_init = torch.zeros(STEPS, BATCH, dtype=torch.bool)
    is_init[1, 0] = True
    layer(*case.inputs, *case.targets, [value[None].detach() for value in case.start], is_init=is_init)[0].backward()
    assert layer.a_0_l0.grad.any() and layer.c_0_l0.grad.any()


def test_the_same_call_gives_the_same_bits(module_of, c_module_of):
    for module in (module_of("lstm"), c_module_of("lstm")):
        layer, x = module.Layer(5, 40), torch.randn(30, 7, 5)
        found = []
        for _ in range(3):
            y, state = layer(x)
            found.append([y, *state, *torch.autograd.grad(y.square().sum(), list(layer.parameters()))])
        assert all(torch.equal(one, other) for row in found for one, other in zip(row, found[0]))


def test_dropout_lies_between_layers(module_of):
    module, x = module_of("lstm"), torch.randn(4, 2, 3)
    layer = module.Layer(3, 4, num_layers=2, dropout=1.0)
    nothing = torch.zeros(4, 2, 4)
    params = {key: getattr(layer, f"{key}_l1") for key in ("W", "R", "b")}
    assert torch.equal(layer(x)[0], module.forward(params, nothing)[0])
    layer.eval()
    plain = module.Layer(3, 4, num_layers=2)
    plain.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x)[0], plain(x)[0])
    layer.train().dropout = 0.5
    assert not torch.equal(layer(x)[0], layer(x)[0])
    assert "num_layers=2, dropout=0.5" in repr(layer)


@pytest.mark.parametrize("call, message", [
    (lambda m, x: m.Layer(3, 4, num_layers=0), "num_layers is 0, expected a whole number from 1 on"),
    (lambda m, x: m.Layer(3, 4, dropout=2), "dropout is 2, expected a number from 0 to 1"),
    (lambda m, x: m.Layer(3, 4)(x[0, 0]), "x has shape (3,), expected (T, B, D), or (T, D) of one example"),
    (lambda m, x: m.Layer(3, 4)(x, lengths=[2]), "lengths are [2], expected one of 0 to 4 for each of 2 examples"),
    (lambda m, x: m.Layer(3, 4)(x, lengths=[2, 5]), "lengths are [2, 5], expected one of 0 to 4"),
    (lambda m, x: m.Layer(3, 4)(x, is_init=torch.zeros(2, 4)), "is_init has shape (2, 4), expected (T, B) = (4, 2)"),
    (lambda m, x: m.Layer(3, 4, 2)(x, (x, x)), "state.h has shape (4, 2, 3), expected 2 layers and directions in front"),
    (lambda m, x: m.Layer(3, 4).to_numpy(1), "there is no layer 1: there are 1, in one direction"),
    (lambda m, x: m.Layer(3, 4).to_numpy(0, True), "there is no layer 0 in reverse: there are 1, in one direction"),
])
def test_mistakes_in_the_use_of_a_layer(call, message, module_of):
    with pytest.raises(ValueError) as caught:
        call(module_of("lstm"), torch.randn(4, 2, 3))
    assert message in str(caught.value)


# ---------------------------------------------------------------- low precision, and more than one process


@every_cell
def test_autocast(name, module_of):
    """Under autocast everything is bfloat16, and as near to float32 as that can be."""
    case = Case(name, module_of(name), dtype=torch.float32)
    layer = layer_of(case)
    expected = run(layer, *case.inputs, *case.targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = run(layer, *case.inputs, *case.targets)
        assert {value.dtype for value in found} == {torch.bfloat16}
        sum(value.float().sum() for value in found).backward()
    assert all(value.grad is None or value.grad.dtype == torch.float32 for value in layer.parameters())
    assert not [value for value in layer.parameters() if value.grad is not None and not value.grad.isfinite().all()]
    assert close([value.float() for value in found], expected, 0.1)


@pytest.mark.parametrize("name", ["lstm", "gru", "layer_norm_lstm", "mlstm"])
def test_bfloat16_is_as_near_as_pytorch_gets(name, module_of):
    """Against float64, the error over all gradients is at most a little larger than that of autograd through `step`."""
    exact = Case(name, module_of(name), steps=12)
    low = Case(name, module_of(name), steps=12, dtype=torch.bfloat16)
    expected = exact.gradients(exact.made(), [*exact.dy, *exact.dstate])
    scale = sum(grad.square().sum() for grad in expected).sqrt()

    def error(forward=None):
        found = low.gradients(low.made(forward), [*low.dy, *low.dstate])
        assert {grad.dtype for grad in found} == {torch.bfloat16}
        return sum((ours.double() - theirs).square().sum() for ours, theirs in zip(found, expected)).sqrt() / scale

    assert error() <= 1.5 * error(low.written_out) + 2.0**-10


def test_two_processes_train_as_one(tmp_path):
    """DistributedDataParallel over gloo: the same gradient as one process that has the whole batch."""
    path = write(schedule_of("lstm"), tmp_path)
    (tmp_path / "train.py").write_text(f"""
import os, sys, torch, torch.distributed as dist
import {path.stem} as m
dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(0)
layer, x = m.Layer(3, 4, num_layers=2, dtype=torch.float64), torch.randn(5, 6, 3, dtype=torch.float64)
both = torch.nn.parallel.DistributedDataParallel(layer)
both(x[:, 3 * rank:3 * rank + 3])[0].square().mean().backward()
shared = [value.grad.clone() for value in layer.parameters()]
layer.zero_grad()
layer(x)[0].square().mean().backward()
assert all(torch.allclose(a, b.grad, atol=1e-14) for a, b in zip(shared, layer.parameters()))
dist.destroy_process_group()
print("equal", rank)
""")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "localhost", "WORLD_SIZE": "2"}
    with socket.socket() as free:
        free.bind(("localhost", 0))
        environment["MASTER_PORT"] = str(free.getsockname()[1])
    running = [subprocess.Popen([sys.executable, "train.py"], cwd=tmp_path, env={**environment, "RANK": str(rank)},
                                stdout=subprocess.PIPE, text=True) for rank in range(2)]
    assert sorted(process.communicate()[0].strip() for process in running) == ["equal 0", "equal 1"]


@pytest.mark.parametrize("name", ["lstm", "ng_lstm", "ng_lstm_last", "mlstm"])
def test_without_gradients_no_long_tape_is_made(name, module_of, monkeypatch):
    """The same in spans of few steps, each of which has a tape of its own."""
    case = Case(name, module_of(name), steps=11)
    whole = [value.detach() for value in case.made()]
    lengths = []

    def watched(forward):
        def watch(*row):
            lengths.append(len(row[len(case.params)]))
            return forward(*row)
        return watch

    for each in ("_FORWARD", "_direct", "_forward_kernel"):  # the operator, and the ways past the dispatcher
        monkeypatch.setattr(case.module, each, watched(getattr(case.module, each)))
    monkeypatch.setattr(case.module, "_SPAN", 4)
    for watches in (True, False):
        monkeypatch.setattr(case.module, "_nobody_watches", lambda _, watches=watches: not watches)
        lengths.clear()
        with torch.no_grad():
            assert close(case.made(), whole, 1e-14)
        assert lengths == [4, 4, 3]
        case.made()
        assert lengths[3:] == [11]


# ---------------------------------------------------------------- torch.compile


def compiles(case: Case, backend: str) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(case.function, fullgraph=True, backend=backend)
    outside = [*case.dy, *case.dstate]
    made, expected = list(compiled(*case.variables)), case.made()
    assert close([each.detach() for each in made], [each.detach() for each in expected])
    assert close(case.gradients(made, outside), case.gradients(expected, outside))


@pytest.mark.parametrize("name", CELLS if LONG else ODD)
def test_compile_without_a_break(case):
    compiles(case, "aot_eager")


@pytest.mark.parametrize("name", CELLS if LONG else ["lstm"])
def test_compile_by_inductor(case):
    compiles(case, "inductor")


def test_compile_with_steps_that_vary(module_of):
    module = module_of("lstm")
    layer = module.Layer(3, 4)
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    for steps in (5, 3, 9):
        x = torch.randn(steps, 2, 3)
        assert torch.equal(compiled(x)[0], layer(x)[0])


@pytest.mark.parametrize("name", CELLS if LONG else ["lstm", "ng_lstm", "phased_lstm", "stacked_lstm"])
def test_export(case, tmp_path):
    layer = case.module.Layer(**case.keywords, dtype=case.dtype)
    arguments = tuple(value.detach() for value in (*case.inputs, *case.targets))
    exported = torch.export.export(layer, arguments)
    expected = run(layer, *arguments)
    assert close(run(exported.module(), *arguments), expected, 0)
    torch.export.save(exported, tmp_path / "layer.pt2")
    assert close(run(torch.export.load(tmp_path / "layer.pt2").module(), *arguments), expected, 0)


def test_what_was_exported_is_loaded_by_another_process(tmp_path):
    """With sizes that vary; the file has to be imported first."""
    path = write(schedule_of("lstm"), tmp_path)
    load = "y, end = torch.export.load('layer.pt2').module()(torch.load('x.pt')); torch.save([y, *end], 'y.pt')"
    save = f"""
import torch, {path.stem} as m
layer, x = m.Layer(3, 4), torch.randn(5, 2, 3)
sizes = {{0: torch.export.Dim("steps"), 1: torch.export.Dim("batch")}}
torch.export.save(torch.export.export(layer, (x,), dynamic_shapes=(sizes,)), "layer.pt2")
x = torch.randn(7, 9, 3)
torch.save(x, "x.pt")
torch.save([layer(x)[0], *layer(x)[1]], "expected.pt")
"""
    for code in (save, f"import torch, {path.stem}; {load}"):
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert close(torch.load(tmp_path / "y.pt"), torch.load(tmp_path / "expected.pt"), 0)


# ---------------------------------------------------------------- through the C functions

needs_compiler = pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler here")


def write_c(schedule: Schedule, folder: Path) -> None:
    for file, text in C_TARGET.texts(schedule, reference(schedule.graph.spec.name), True, None).items():
        (folder / file).write_text(text, encoding="utf-8")


@pytest.fixture(scope="session")
def c_module_of(tmp_path_factory) -> Callable[[str], ModuleType]:
    """A cell's file with the C functions beside it, which are compiled quickly."""
    folder = tmp_path_factory.mktemp("with_c")

    def made(name: str) -> ModuleType:
        write_c(schedule_of(name), folder)
        module = import_path(write(schedule_of(name), folder))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
            patch.setenv("CFLAGS", "-O0")
            assert module.backend(torch.zeros(1)) == "c"
        return module

    return cache(made)


@pytest.fixture
def c_case(name, c_module_of) -> Case:
    return Case(name, c_module_of(name))


@needs_compiler
@every_cell
def test_every_cell_is_the_same_in_c(name, c_module_of, module_of):
    for steps, batch, dtype in ((4, 3, torch.float64), (70, 5, torch.float64), (0, 2, torch.float64), (1, 0, torch.float64),
                                (3, 2, torch.float32)):
        if not steps and schedule_of(name).graph.has_loss_at_last:
            continue
        ours, plain = (Case(name, of(name), steps, batch, dtype) for of in (c_module_of, module_of))
        results = []
        for case in (ours, plain):
            made = case.made()
            outside = [*case.dy, *case.dstate]
            whole = case.gradients(made, outside)
            parts = [case.gradients(made[:1], outside[:1]), case.gradients(made[1:], outside[1:]) if made[1:] else []]
            results.append([*(each.detach() for each in made), *whole, *itertools.chain(*parts)])
        if all(each.isfinite().all() for each in results[1]):
            assert close(*results, BOUND if dtype == torch.float64 else 1e-3), (steps, batch)


@needs_compiler
@pytest.mark.parametrize("name", ODD)
def test_gradients_of_any_layout_and_of_parts_in_c(c_case):
    check_layouts_and_parts(c_case)


@needs_compiler
@pytest.mark.parametrize("name", ODD)
def test_opcheck_in_c(c_case):
    row, module = c_case.row(), c_case.module
    torch.library.opcheck(module._C_FORWARD, row, test_utils=("test_schema", "test_autograd_registration", "test_faketensor"))
    made = module._C_FORWARD(*row)
    held = [value.detach() for value in (*row, made[-1], *c_case.dy, *c_case.dstate)]
    torch.library.opcheck(module._C_BACKWARD, tuple(held))
    if c_case.name not in TRUNCATED:
        assert torch.autograd.gradcheck(c_case.function, c_case.variables, fast_mode=True)


@needs_compiler
@pytest.mark.parametrize("name", CELLS if LONG else ["lstm", "ng_lstm", "mlstm"])
def test_compile_in_c(c_case):
    compiles(c_case, "aot_eager" if c_case.name == "mlstm" else "inductor")


@needs_compiler
def test_compile_in_c_with_sizes_that_vary(c_module_of):
    layer = c_module_of("lstm").Layer(3, 4)
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    for steps, batch in ((5, 2), (3, 7), (9, 1), (200, 40)):
        x = torch.randn(steps, batch, 3, requires_grad=True)
        found, expected = compiled(x)[0], layer(x)[0]
        assert torch.equal(found, expected)
        assert torch.equal(*(torch.autograd.grad(each.sum(), x)[0] for each in (found, expected)))


@needs_compiler
@every_cell
def test_a_workspace_is_never_too_small(name, c_module_of):
    """What Python says that the C functions need, beside what they ask for."""
    module = c_module_of(name)
    functions = module._c_functions()
    symbols = [symbol for symbol, _ in schedule_of(name).graph.dims]
    for steps, batch, size in itertools.product((0, 1, 2, 130, 5000), (0, 1, 3, 16, 17, 129, 2000), (1, 5, 64, 700)):
        for dtype, itemsize in ((functions._F32, 4), (functions._F64, 8)):
            lengths = (functions._LENGTH * max(len(symbols), 1))(*[size + 3 * place for place in range(len(symbols))])
            sizes = dict(zip(symbols, lengths))
            order = [*inspect.signature(module._workspace_bytes).parameters][2:-1]
            said = module._workspace_bytes(steps, batch, *(sizes[symbol] for symbol in order), itemsize)
            for threads in {1, min(max(batch, 1), 2), min(max(batch, 1), 16)}:
                asked = functions._FUNCTIONS[dtype]["workspace"](lengths, steps, batch, threads)
                assert 0 < asked <= said - 8, (steps, batch, size, threads)


@needs_compiler
def test_a_build_of_both_proves_both(tmp_path, monkeypatch):
    """Once in PyTorch operations, and once with the C functions beside the file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CFLAGS", "-O0")
    alone, both = (build("gru", tmp_path, targets=targets, document=False) for targets in (("torch",), ("torch", "c")))
    assert len(both.targets[0].figures) == 2 * len(alone.targets[0].figures)
    assert both.targets[1].name == "c"


@needs_compiler
def test_a_tape_that_was_moved_is_made_again(c_module_of):
    case = Case("lstm", c_module_of("lstm"))
    expected = case.gradients(case.made(), [*case.dy, *case.dstate])
    with torch.autograd.graph.saved_tensors_hooks(lambda value: value.clone(), lambda value: value):
        made = case.made()
    assert close(case.gradients(made, [*case.dy, *case.dstate]), expected, 0)


@needs_compiler
def test_memory_is_used_again_once_nobody_holds_it(c_module_of):
    """A tape that is still needed is never written to; one that is not is the next one's, and what is kept has a limit."""
    module = c_module_of("lstm")
    module._kept_memory.clear()
    layer, x = module.Layer(2, 3, dtype=torch.float64), torch.randn(6, 2, 2, dtype=torch.float64)
    wanted = list(layer.parameters())
    expected = [torch.autograd.grad(layer(x * k)[0].sum(), wanted) for k in range(12)]
    assert len(module._kept_memory) == 1
    held = [layer(x * k)[0] for k in range(12)]
    assert len(module._kept_memory) == 8
    for y, grads in zip(held, expected):
        assert all(map(torch.equal, torch.autograd.grad(y.sum(), wanted), grads))
    del held, y
    for steps in range(1, 60, 6):
        layer(x.repeat(steps, 1, 1))
    assert len(module._kept_memory) <= 8
    module._kept_memory.clear()
    huge = [module._memory(module._MOST_KEPT // 2) for _ in range(3)]
    assert len(module._kept_memory) == 2 and len({each.data_ptr() for each in huge}) == 3
    del huge
    module._memory(module._MOST_KEPT)
    assert sum(array.size for array in module._kept_memory) <= module._MOST_KEPT
    module._kept_memory.clear()


def test_special_calls_go_through_the_operators(module_of, c_module_of):
    """What PyTorch's dispatcher must see is not called past it."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Seen(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            seen.append(str(function))
            return function(*args, **kwargs or {})

    for module in (module_of("lstm"), c_module_of("lstm")):
        layer, x, seen = module.Layer(2, 3), torch.randn(4, 5, 2, 2), []
        expected = torch.stack([layer(each)[0] for each in x])
        assert torch.allclose(torch.vmap(lambda each, layer=layer: layer(each)[0])(x), expected, atol=1e-6)
        with Seen():
            layer(x[0])
        assert [name for name in seen if name.startswith("lstmgen.")]


def test_several_passes_before_their_gradients(c_module_of):
    """Each pass has a tape of its own; and one may be asked twice."""
    case = Case("lstm", c_module_of("lstm"))
    first = case.made()
    before = case.gradients(first, [*case.dy, *case.dstate])
    others = [case.made(inputs=[value + shift for value in case.inputs]) for shift in range(3)]
    assert not any(close(case.gradients(made, [*case.dy, *case.dstate]), before) for made in others[1:])
    assert close(case.gradients(first, [*case.dy, *case.dstate]), before, 0)


@needs_compiler
def test_threads_are_those_of_pytorch(c_module_of):
    module = c_module_of("lstm")
    layer, had = module.Layer(30, 40), torch.get_num_threads()
    x = torch.randn(40, 9, 30)
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            y = layer(x)[0]
            assert module._c_functions()._threads == threads
            assert torch.equal(y, layer(x)[0])
    finally:
        torch.set_num_threads(had)


@needs_compiler
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no list of threads here")
def test_no_threads_beside_those_of_openmp(c_module_of, tmp_path):
    """PyTorch's wait for work without sleeping: others would wait for them. A child process has none, and gets some."""
    if "USE_OPENMP=ON" not in torch.__config__.show():
        pytest.skip("this PyTorch is built without OpenMP")
    (tmp_path / "run.py").write_text(f"""
import os, signal, sys, torch
sys.path.insert(0, {str(Path(c_module_of("lstm").__file__).parent)!r})
import lstm_torch as m
count = lambda: len(os.listdir("/proc/self/task"))
torch.set_num_threads(3)
layer, x = m.Layer(30, 40), torch.randn(40, 9, 30, requires_grad=True)
torch.ones(1 << 20).add_(1)
before = count()
y = layer(x)[0]
grad, = torch.autograd.grad(y.sum(), x)
assert m.backend(x) == "c"
assert count() == before, (before, count())
child = os.fork()
if not child:
    signal.alarm(60)
    again = layer(x.detach())[0]
    os._exit(not (torch.equal(again, y) and count() == 3))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert torch.equal(layer(x)[0], y)
print("equal")
""")
    cache = {"XDG_CACHE_HOME": str(Path(c_module_of("lstm").__file__).parent / "cache"), "CFLAGS": "-O0"}
    done = subprocess.run([sys.executable, "run.py"], cwd=tmp_path, env=os.environ | cache, capture_output=True, text=True)
    assert done.stdout == "equal\n", done.stderr


@needs_compiler
def test_backend_tells_what_computes(c_module_of, module_of, tmp_path, monkeypatch):
    with_c, without = c_module_of("lstm"), module_of("lstm")
    x = torch.randn(2, 1, 3)
    assert [with_c.backend(x), with_c.backend(x.double()), with_c.backend(x.bfloat16())] == ["c", "c", "torch"]
    assert with_c.backend(x.to("meta")) == "torch"
    assert without.backend(x) == "torch"
    # of another cell, and without a compiler
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CFLAGS", "-O0")
    write_c(schedule_of("gru"), tmp_path)
    for file in tmp_path.glob("gru*"):
        file.rename(tmp_path / file.name.replace("gru", "lstm"))
    loader = tmp_path / "lstm_c.py"
    loader.write_text(loader.read_text().replace("gru.", "lstm."))
    assert import_path(write(schedule_of("lstm"), tmp_path)).backend(x) == "torch"
    write_c(schedule_of("lstm"), tmp_path)
    monkeypatch.setenv("CC", "no-such-compiler")
    assert import_path(write(schedule_of("lstm"), tmp_path)).backend(x) == "torch"
    monkeypatch.delenv("CC")
    assert import_path(write(schedule_of("lstm"), tmp_path)).backend(x) == "c"


# ---------------------------------------------------------------- the second derivative


@pytest.mark.parametrize("name", ["lstm", "ng_lstm"])
def test_a_second_derivative_is_refused(case):
    made = case.made()
    grads = torch.autograd.grad(made, case.variables, [*case.dy, *case.dstate], create_graph=True, allow_unused=True)
    with pytest.raises(RuntimeError, match=f"the second derivative of {case.name} was asked for"):
        sum(grad.sum() for grad in grads if grad is not None).backward()


def test_forward_mode_is_refused(module_of):
    """It would be zero without a word."""
    module = module_of("lstm")
    layer, x = module.Layer(3, 4), torch.randn(5, 2, 3)
    with pytest.raises(NotImplementedError, match="forward mode is not derived, and would be zero"):
        torch.func.jvp(lambda value: layer(value)[0], (x,), (x,))
    with torch.autograd.forward_ad.dual_level():
        assert layer(x)[0].shape == (5, 2, 4)
        with pytest.raises(NotImplementedError, match="forward mode is not derived"):
            layer(torch.autograd.forward_ad.make_dual(x, x))
    params = module.init_params(3, 4)
    assert torch.func.jvp(lambda value: module.step(params, value)[0], (x[0],), (x[0],))[1].any()


@needs_compiler
def test_a_loss_takes_any_factor(module_of, c_module_of):
    """What reaches the loss from outside may be any number, also beside a gradient of the final state."""
    for of, name, dloss in itertools.product((module_of, c_module_of), ("ng_lstm", "ng_lstm_last"), (-7.5, 0.0)):
        case = Case(name, of(name))
        made = case.made()
        loss = case.gradients(made[:1], case.dy)
        rest = case.gradients(made[1:], case.dstate)
        factor = torch.tensor(dloss, dtype=torch.float64)
        both = case.gradients(made, [factor, *case.dstate])
        assert close(both, [factor * one + other for one, other in zip(loss, rest)])


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("change, message", [
    (lambda m, p, x: m.forward(p, x[0]), "x has shape (2, 3), expected (T, B, D) = (any, any, any)"),
    (lambda m, p, x: m.forward(p, x[..., :2]), "x has shape (4, 2, 2), expected (T, B, D) = (4, 2, 3)"),
    (lambda m, p, x: m.forward({"W": p["W"]}, x), "params has the keys ['W'], expected ['R', 'W', 'b']"),
    (lambda m, p, x: m.forward({**p, "b": p["b"][:3]}, x), "params['b'] has shape (3,), expected (4*H) = (20)"),
    (lambda m, p, x: m.forward(p, x.double()), "x is torch.float64 on cpu, and params['W'] is torch.float32 on cpu"),
    (lambda m, p, x: m.forward(p, x.long()), "x is torch.int64, expected a tensor of floating-point numbers"),
    (lambda m, p, x: m.forward(p, x.numpy()), "x is ndarray, expected a tensor of floating-point numbers"),
    (lambda m, p, x: m.forward(p, x, (x[0],)), "state is tuple of 1, expected State(h, c)"),
    (lambda m, p, x: m.forward(p, x, (x[0], x[0])), "state.h has shape (2, 3), expected (B, H) = (2, 5)"),
    (lambda m, p, x: m.step(p, x), "x_t has shape (4, 2, 3), expected (B, D) = (any, any)"),
    (lambda m, p, x: m.Cell(3, 5)(x), "x_t has shape (4, 2, 3), expected (B, D)"),
    (lambda m, p, x: m.Layer(3, 0), "hidden_size is 0, expected a whole number from 1 on"),
    (lambda m, p, x: m.Layer(3, 5).load_numpy({**p, "b": p["b"][:3]}), "params['b'] has shape (3,), expected (4*H)"),
])
def test_mistakes_are_told(change, message, module_of):
    module = module_of("lstm")
    with pytest.raises(ValueError) as caught:
        change(module, module.init_params(3, 5), torch.randn(4, 2, 3))
    assert message in str(caught.value)


def test_a_target_has_no_gradient(module_of):
    case = Case("ng_lstm", module_of("ng_lstm"))
    case.targets[0].requires_grad_()
    with pytest.raises(ValueError, match="target needs a gradient, and the loss has none for targets"):
        case.made()


def test_a_loss_at_the_last_step_needs_a_step(module_of):
    with pytest.raises(ValueError, match="the loss at the last step needs a step: T is 0"):
        Case("ng_lstm_last", module_of("ng_lstm_last"), 0).made()


# ---------------------------------------------------------------- the file


def test_files_may_be_imported_twice(tmp_path):
    """Each copy has operators of its own, also after it was edited."""
    path = write(schedule_of("lstm"), tmp_path)
    first = import_path(path)
    path.write_text(path.read_text().replace("h = o * tanh_c", "h = 2 * o * tanh_c"))
    second = import_path(path)
    params, x = first.init_params(2, 3), torch.randn(4, 1, 2)
    one, two = (module.forward(params, x)[0] for module in (first, second))
    assert not torch.allclose(one, two)
    assert torch.equal(first.forward(params, x)[0], one)


def test_the_same_seed_gives_the_same_parameters(module_of):
    module = module_of("lstm")
    torch.manual_seed(5)
    first = module.Layer(3, 4).to_numpy()
    torch.manual_seed(5)
    assert all(np.array_equal(first[key], array) for key, array in module.Layer(3, 4).to_numpy().items())


def test_names_that_pytorch_uses(tmp_path):
    """A spec may call its values as it likes."""
    schedule = _schedule("""
name: layer
inputs: {torch: D, nn: D, backend: [], operator: []}
state: {T: H}
parameters: {forward_: [H, D], made: [H, D], eval: [H, H], bias: H}
equations:
  steps: tanh(forward_ @ torch + made @ nn + eval @ T[t-1] + bias * backend * operator)
  T: max(steps, 0.5 * sqrt(2)) + steps
output: T
""")
    module = import_path(write(schedule, tmp_path))
    cell, x, scale = module.Cell(2, 3), torch.randn(4, 2, 2), torch.ones(4, 2)
    cell(x[0], x[0], scale[0], scale[0])[0].sum().backward()
    assert all(value.grad is not None for value in cell.parameters())
    assert module.Layer(2, 3)(x, x, scale, scale)[0].shape == (4, 2, 3)


def test_a_function_that_is_wrong_is_found(tmp_path):
    """The check can fail: with the sign of one contribution changed, figures do not pass."""
    path = write(schedule_of("lstm"), tmp_path)
    text = path.read_text()
    right = "+ dy[t] "
    assert text.count(right) == 1
    path.write_text(text.replace(right, "- dy[t] "))
    figures = verify_target(schedule_of("lstm").graph, TARGET.load(tmp_path, "lstm"), reference("lstm"))
    assert [figure for figure in figures if not figure.passed]


def test_importing_lstmgen_imports_no_pytorch():
    modules = "sys, lstmgen, lstmgen.cli, lstmgen.pipeline, lstmgen.outputs.torch.target"
    code = f"import {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# ---------------------------------------------------------------- the generator


def test_the_table_of_functions_is_complete():
    wanted = {entry.name for entry in (*functions.POINTWISE, *functions.OPERATIONS)}
    assert torch_functions.TABLE.keys() == wanted
    for code in torch_functions.TABLE.values():
        assert not code.helper or (TEMPLATES / "torch" / "helpers" / f"{code.helper}.py").exists()


def test_the_command_knows_the_same_targets():
    assert TARGETS_OF_COMMAND == targets.NAMES
