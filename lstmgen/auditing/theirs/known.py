"""What names in other people's code usually stand for. A guess, which a layout file overrules."""

from __future__ import annotations

import re

from ...derivation.graph import Graph
from .records import ADJOINT, BEFORE, FINAL, NUMBER, OUTSIDE, PARAMETERS, SENT, SIZE, VALUE, Ref

_DICTIONARIES = frozenset("""
    params parameters param weights p theta model net ws w_dict cell
""".split())
_SIZES = {
    "D": frozenset("""
        d input_size input_dim n_x nx n_in vocab_size x_dim n_features input_units in_dim features n_input n_inputs
        num_inputs inputs_size dim_in embed_dim insize nin x_size i_dim num_chars n_chars vocabulary_size char_size
    """.split()),
    "H": frozenset("""
        h hidden_size hidden_dim n_h nh n_a n_hidden num_units units hidden hidden_units h_size h_dim hdim hsize
        mem_cell_ct n_units state_size num_hidden hid_dim n_hid
    """.split()),
    "T": frozenset("""
        t seq_len seq_length t_x tx n_steps num_steps timesteps time_steps steps sequence_length
    """.split()),
    "B": frozenset("""
        b m batch_size n bs batch n_batch
    """.split()),
}
_INPUTS = frozenset("""
    x xs xt input inputs seq sequence data x_seq xseq input_seq inp inps xx x_in input_data x_data inputs_seq
    input_sequence u us ins x_list xlist bottom_data
""".split())
_RATES = frozenset("""
    lr learning_rate learn_rate rate eta step_size
""".split())
_TARGETS = frozenset("""
    target targets y ys labels label y_true t ts y_target targ expected truth
""".split())
_SAME = {"h": ("h", "a", "hidden", "hs", "s"), "c": ("c", "cell", "cs", "mem", "s", "state_c"),
         "y": ("y", "out", "output", "outputs")}
_GRADIENT = re.compile(r"(?:d[LEJC]_?d_?|grad(?:ient)?s?_?|[dD]elta_?|d_|[dD](?=[a-zA-Z]))(?P<rest>\w+)\Z")
_GRADIENT_AFTER = re.compile(r"(?P<rest>\w+?)_?(?:grads?|gradient|diff|_bar)\Z")
_OUTSIDE = frozenset("""
    dout douts dy dys grad_output grad_outputs dl loss_grad d_out d_output dout_seq grad grads dlast upstream top_diff
    dloss d_loss delta deltas doutput doutputs output_grad dl_dy
""".split())
_BEFORE = re.compile(r"(?:prev|previous|old|last|init|initial|start|pre)_?|"
                     r"_?(?:prev|previous|pre|old|last|init|initial|start|tm1|0|_t_1|in|state)\Z")
_NEXT = re.compile(r"(?:next|final|n(?=ext_))_?|_?(?:next|nxt|final|last|n|T|tp1|future|end)\Z")
_MARKS = re.compile(r"_?(?:t|s|all|seq|list|out|total|state|states|_t)\Z")


def meaning(name: str, graph: Graph, backward: bool, step: bool = False) -> Ref | None:
    """What an argument called so stands for; None where nothing is known.

    `backward`: of the backward function. `step`: in a function for one step.
    """
    low = name.lower()
    if len(graph.inputs) == 1 and (name in graph.inputs or low.removesuffix("_t") in _INPUTS):
        return Ref(VALUE, graph.inputs[0])
    if name in (*graph.inputs, *graph.targets):
        return Ref(VALUE, name)
    if len(graph.targets) == 1 and low.removesuffix("_t") in _TARGETS:
        return Ref(VALUE, graph.targets[0])
    if low in _DICTIONARIES:
        return Ref(PARAMETERS)
    if low in _RATES:
        return Ref(NUMBER, "1.0")  # so that what is taken away from a parameter is its gradient
    size = size_called(name, graph)
    if size and len(name) > 1:
        return size
    gradient = arriving(name, graph, step) if backward else None
    if gradient:
        return gradient
    state = state_called(name, graph)
    if state is not None and not (backward and _bare(name, graph)):
        return Ref(BEFORE, state)
    return size


def size_called(name: str, graph: Graph) -> Ref | None:
    """A size that is called so."""
    for symbol, keyword in graph.dims:
        if name in (symbol, keyword):
            return Ref(SIZE, symbol)
    for ours, theirs in _SIZES.items():
        if name.lower() not in theirs:
            continue
        same = [symbol for symbol, keyword in graph.dims if symbol == ours or keyword in theirs]
        if same or ours in "TB":
            return Ref(SIZE, same[0] if same else ours)
    return None


def _bare(name: str, graph: Graph) -> bool:
    return name in graph.states or name in graph.outputs


def state_called(name: str, graph: Graph) -> str | None:
    """The state whose value of the step before is called so: h_prev, hprev, h0, prev_h, h."""
    for candidate in (name, name.removesuffix("_t")):
        base = _BEFORE.sub("", candidate, count=2)
        for written in (candidate, base):
            found = value_called(written, graph, graph.states)
            if found is not None:
                return found
    return None


def value_called(name: str, graph: Graph, among: tuple[str, ...]) -> str | None:
    """Which of some values is called so: by its own name, as a list of all steps, or as other texts call it."""
    for written in (name, _MARKS.sub("", name), name.removesuffix("s"), _MARKS.sub("", _MARKS.sub("", name))):
        if written in among:
            return written
        low = {each.lower(): each for each in among}
        if written.lower() in low:
            return low[written.lower()]
        for ours, theirs in _SAME.items():
            other = written.lower() in graph.shapes and written.lower() not in among  # another value of the cell
            if ours in among and written.lower() in theirs and not other:
                return ours
    return None


def arriving(name: str, graph: Graph, step: bool) -> Ref | None:
    """The gradient that arrives under such a name in a backward function."""
    low = name.lower()
    if low in _OUTSIDE and len(graph.outputs) == 1 and graph.loss is None:
        return Ref(OUTSIDE if not step else ADJOINT, graph.outputs[0])
    rest = stripped(name)
    if rest is None:
        return None
    if rest.lower() in ("out", "y", "next", "output", "hidden") and len(graph.outputs) == 1 and graph.loss is None:
        return Ref(ADJOINT, graph.outputs[0])
    found = value_called(rest, graph, (*graph.outputs, *graph.states))
    if found is not None:
        return Ref(ADJOINT, found)
    inner = _NEXT.sub("", rest, count=2)
    found = value_called(inner, graph, graph.states) or value_called(_BEFORE.sub("", inner), graph, graph.states)
    return Ref(FINAL, found) if found else None


def stripped(name: str) -> str | None:
    """The name without the mark of a gradient; None where it has none."""
    for pattern in (_GRADIENT_AFTER, _GRADIENT):
        match = pattern.match(name)
        if match:
            return match["rest"]
    return None


def answered(name: str, graph: Graph) -> Ref | None:
    """What a part of the answer that is called so is the gradient of: an input, or the state of the step before."""
    rest = stripped(name)
    if rest is None:
        return None
    if len(graph.inputs) == 1 and (rest in graph.inputs or rest.lower().removesuffix("_t") in _INPUTS):
        return Ref(VALUE, graph.inputs[0])
    if rest in graph.inputs:
        return Ref(VALUE, rest)
    for inner in (_BEFORE.sub("", rest, count=2), _NEXT.sub("", rest, count=2), rest):
        found = value_called(inner, graph, graph.states)
        if found is not None:
            return Ref(SENT, found)
    return None


# ---------------------------------------------------------------- parameters

# What the gates of `lstm`, `gru` and `rnn` specs are called elsewhere; ours first.
GATES: dict[str, dict[str, tuple[str, ...]]] = {
    "lstm": {
        "i": tuple("""
            i u input in ig inp igate input_gate
        """.split()),
        "f": tuple("""
            f forget fg fgate forget_gate forg
        """.split()),
        "o": tuple("""
            o out output og ogate output_gate
        """.split()),
        "z": tuple("""
            z g c a cc c_bar cbar ctilde c_tilde chat c_hat candidate cell cand j ct update c_candidate gate learn s
            cell_gate v n tilde cand_cell memory new
        """.split()),
    },
    "gru": {
        "r": tuple("""
            r reset rg
        """.split()),
        "z": tuple("""
            z u update zg
        """.split()),
        "n": tuple("""
            n h c g candidate cand h_hat hhat h_tilde htilde a new hh hbar cc tilde s
        """.split()),
    },
}
# What the two matrices and the bias are called, with @ where the gate stands.
INPUT_MATRIX = tuple("""
    W@ W_@ Wx@ W_x@ W@x W_@x W_x_@ Wx_@ W_@_x W_i@ Wi@ U@ U_@ W@_x Wih_@ W_ih_@ Ux@ wx@ w@x W@_i kernel_@ wx_@ w_x@
    @_W @x w_@_x
""".split())
STATE_MATRIX = tuple("""
    R@ R_@ U@ U_@ Wh@ W_h@ W@h W_@h W_h_@ Wh_@ W_@_h W@_h W@a Whh_@ W_hh_@ Uh@ wh@ w@h V@ V_@ W@_s recurrent_kernel_@
    wh_@ w_h@ @_U @h u@ u_@ w_@_h W@s
""".split())
BIAS = tuple("""
    b@ b_@ bias_@ b@_ B@ bias@ @_b b_@_ B_@ b@b b_@h bh@
""".split())
BOTH = tuple("""
    W@ W_@ w@ w_@ Weights_@ @_W W@_ weights_@ W@h W_@h @_weights
""".split())
# The same where one array holds all gates, or the cell has only one.
INPUT_ALL = tuple("""
    Wx W W_x Wxh W_xh W_ih Wih weight_ih kernel Wax U W_ax wx w_x Wi W_in weights_input Whx W_hx w_ih weight_ih_l0 Wxs
    W_in_h W_input Win U_x W_i
""".split())
STATE_ALL = tuple("""
    Wh U W_h Whh W_hh weight_hh recurrent_kernel Waa R W W_aa wh w_h Wr W_rec weights_hidden w_hh weight_hh_l0 Wss V
    W_recurrent Wrec W_hidden U_h R_h
""".split())
BIAS_ALL = tuple("""
    b bias bh b_h ba b_a B biases b_ih bias_ih bias_h bs b_all
""".split())
BOTH_ALL = tuple("""
    W Wxh WLSTM weights W_all w Wall Wlstm W_lstm kernel Wgates W_gates Wcat W_cat WW
""".split())
PEEPHOLE = tuple("""
    p@ p_@ P@ P_@ wc@ Wc@ W_c@ V@ V_@ peep_@ w_c@ w_p@ Wp@ W_p@ W@c w_c_@ wp_@ p@_
""".split())
