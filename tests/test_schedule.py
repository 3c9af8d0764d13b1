"""A schedule says all that an output needs: run as it stands, it gives what the NumPy module gives."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from schedule_runner import Run

from lstmgen.numerics.points import choose_sizes
from lstmgen.outputs.numpy.module import module_source
from lstmgen.pipeline import derive, execute, load
from lstmgen.schedule.make import make_schedule
from lstmgen.schedule.records import EVERY_STEP, ONE, STEPS_AND_START, Bundle, Kept, Part, Share

T, B = 4, 3


def drawn(schedule, seed=1):
    """A module and everything that a pass in both directions takes, at random."""
    graph, rng = schedule.graph, np.random.default_rng(seed)
    module = execute(module_source(schedule, verified=False), graph.spec.name)
    sizes = dict(choose_sizes(graph, 4))
    ranges = {entry.name: (float(entry.low), float(entry.high)) for entry in graph.spec.ranges}

    def draw(name, shape, *leading):
        return rng.uniform(*ranges.get(name, (-1, 1)), (*leading, *(dim.value(sizes) for dim in shape)))

    params = {entry.name: draw(entry.name, entry.shape) for entry in schedule.parameters}
    for name, view in module.named(params).items():
        if name in ranges:
            view[...] = draw(name, graph.shapes[name])
    arguments = {name: draw(name, graph.shapes[name], T, B) for name in (*graph.inputs, *graph.targets)}
    state = {name: draw(name, graph.shapes[name], B) for name in graph.states}
    dy = {name: draw("", graph.shapes[name], T, B) for name in graph.outputs}
    dstate = {name: draw("", graph.shapes[name], B) for name in graph.states}
    return module, sizes, params, arguments, state, dy, dstate


def of_module(schedule, module, params, arguments, state, dy, dstate):
    """What the module gives, in the words of the runner's result."""
    graph = schedule.graph
    given = None if state is None else module.State(*(state[name] for name in graph.states))
    first, end, tape = module.forward(params, *arguments.values(), given)
    outside = () if graph.loss else (module.Outputs(*dy.values()) if len(dy) > 1 else next(iter(dy.values())),)
    grads = module.backward(params, tape, *outside, module.State(*dstate.values()))
    y = tape.y if len(graph.outputs) > 1 else (tape.y,)
    return {
        "outputs": dict(zip(graph.outputs, y)), "loss": first if graph.loss else None, "state": end._asdict(),
        "params": grads.params, "inputs": {name: getattr(grads, name) for name in graph.inputs},
        "start": grads.state._asdict(),
    }


def distance(found, expected) -> float:
    """The largest relative error, array by array; a different shape is infinitely far."""
    worst = 0.0
    for part, arrays in expected.items():
        if not isinstance(arrays, dict):
            arrays, mine = {part: arrays}, {part: getattr(found, part)}
        else:
            mine = getattr(found, part)
            assert mine.keys() == arrays.keys(), part
        for name, array in arrays.items():
            if array is None:
                assert mine[name] is None
                continue
            if np.shape(mine[name]) != np.shape(array):
                return np.inf
            size = np.abs(array).max(initial=0)
            # a gradient that cancels to zero has no digits to compare
            worst = max(worst, np.abs(mine[name] - array).max(initial=0) / (size if size > 1e-12 else 1))
    return worst


@pytest.mark.parametrize("start", ["given", "the spec's own"])
def test_the_runner_agrees_with_the_module(spec_path, start):
    schedule = make_schedule(derive(load(spec_path)))
    module, sizes, params, arguments, state, dy, dstate = drawn(schedule)
    state = state if start == "given" else None
    expected = of_module(schedule, module, params, arguments, state, dy, dstate)
    found = Run(schedule, sizes, params, arguments, state).result(dy, dstate)
    assert distance(found, expected) < 1e-11


def test_the_runner_agrees_on_one_step(spec_path):
    schedule = make_schedule(derive(load(spec_path)))
    module, sizes, params, arguments, state, _, _ = drawn(schedule)
    graph = schedule.graph
    inputs = [arguments[name][0] for name in graph.inputs]
    y, end = module.step(params, *inputs, module.State(*(state[name] for name in graph.states)))
    values = Run(schedule, sizes, params, {name: arguments[name][:1] for name in graph.inputs}, state).step()
    for name, array in (*zip(graph.outputs, y if len(graph.outputs) > 1 else (y,)), *end._asdict().items()):
        assert np.allclose(values[name], array, rtol=1e-12, atol=1e-13)


# ---------------------------------------------------------------- a runner that would agree with anything proves nothing


def broken(schedule, what):
    """A schedule with one fault."""
    backward, forward = schedule.backward, schedule.forward
    match what:
        case "a share is missing":
            at = next(k for k, gather in enumerate(backward.loop) if len(gather.terms) > 2)
            gather = backward.loop[at]
            short = replace(gather, terms=gather.terms[:-1])
            return replace(schedule, backward=replace(backward, loop=(*backward.loop[:at], short, *backward.loop[at + 1:])))
        case "nothing comes from the final state":
            first, *others = backward.carries
            return replace(schedule, backward=replace(backward, carries=(replace(first, start=()), *others)))
        case "nothing goes to the step before":
            *others, last = backward.carries
            return replace(schedule, backward=replace(backward, carries=(*others, replace(last, sent=()))))
        case "the bias is forgotten":
            hoisted = replace(forward.hoisted[0], bias=None)

            def without(statement):
                if isinstance(statement, Bundle):
                    return replace(statement, onto=hoisted)
                return statement

            loop = tuple(map(without, forward.loop))
            bundle = next(statement for statement in loop if isinstance(statement, Bundle))
            loop = tuple(
                replace(statement, terms=tuple(replace(term, bundle=bundle) for term in statement.terms))
                if getattr(statement, "terms", ()) and isinstance(statement.terms[0], Part) else statement
                for statement in loop)
            return replace(schedule, forward=replace(forward, hoisted=(hoisted,), loop=loop))


@pytest.mark.parametrize("what", ["a share is missing", "nothing comes from the final state",
                                  "nothing goes to the step before", "the bias is forgotten"])
def test_a_faulty_schedule_is_noticed(what):
    schedule = make_schedule(derive(load("peephole_lstm")))
    module, sizes, params, arguments, state, dy, dstate = drawn(schedule)
    expected = of_module(schedule, module, params, arguments, state, dy, dstate)
    found = Run(broken(schedule, what), sizes, params, arguments, state).result(dy, dstate)
    assert distance(found, expected) > 1e-3


# ---------------------------------------------------------------- what the records say


def test_the_tape_of_the_peephole_lstm():
    schedule = make_schedule(derive(load("peephole_lstm")))
    assert schedule.tape == (
        Kept("x", 0), Kept("z", 0), Kept("i", 0), Kept("f", 0), Kept("c", -1), Kept("c", 0), Kept("o", 0),
        Kept("tanh_c", 0), Kept("h", -1),
    )


def test_nothing_is_kept_that_is_not_read_and_nothing_read_that_is_not_kept(spec_path):
    """The tape is what the runner looks up while it goes backwards."""
    schedule = make_schedule(derive(load(spec_path)))
    _, sizes, params, arguments, state, dy, dstate = drawn(schedule)

    class Watched(Run):
        def look_up(self, leaf, step):
            if hasattr(self, "dy") and type(leaf).__name__ == "Value" and leaf.name not in schedule.graph.parameters:
                read.add((leaf.name, leaf.lag))
            return super().look_up(leaf, step)

    read: set[tuple[str, int]] = set()
    Watched(schedule, sizes, params, arguments, state).result(dy, dstate)
    assert read == {(entry.name, entry.lag) for entry in schedule.tape}


def test_every_size_is_found_with_what_is_known_by_then(spec_path):
    schedule = make_schedule(derive(load(spec_path)))
    sizes, known = schedule.sizes, set()
    for source in (*sizes.from_parameters, *sizes.from_arguments, *sizes.from_states):
        assert set(source.rest.symbols) <= known and source.symbol not in known
        known.add(source.symbol)
    assert known == {symbol for symbol, _ in schedule.graph.dims}


def test_the_extent_of_buffers():
    schedule = make_schedule(derive(load("peephole_lstm")))
    values, adjoints = schedule.extents(is_adjoint=False), schedule.extents(is_adjoint=True)
    assert values["c"] == values["h"] == STEPS_AND_START
    assert values["i"] == EVERY_STEP and values["i_pre"] == ONE
    assert adjoints["i_pre"] == EVERY_STEP and adjoints["c"] == ONE and adjoints["x"] == EVERY_STEP


def test_stored_parameters_lie_under_each_other():
    schedule = make_schedule(derive(load("peephole_lstm")))
    stored = {entry.name: entry for entry in schedule.parameters}
    assert [(member.name, str(member.first)) for member in stored["R"].members] == [
        ("R_z", "0"), ("R_i", "H"), ("R_f", "2*H"), ("R_o", "3*H")]
    assert [str(dim) for dim in stored["R"].shape] == ["4*H", "H"] and not stored["p_i"].is_stacked


def test_a_schedule_is_frozen_data(spec_path):
    """Nothing in it is a list or a dictionary that somebody could change, but the mappings of the plan."""
    schedule = make_schedule(derive(load(spec_path)))
    for direction in (schedule.forward, schedule.step, schedule.backward):
        for field in fields(direction):
            assert isinstance(getattr(direction, field.name), tuple), field.name
    assert hash(schedule.sizes) and hash(schedule.tape) and hash(schedule.parameters)


def test_contributions_are_in_the_schedule_once(spec_path):
    """Each moving contribution is one share, or is in the product of its stack."""
    schedule = make_schedule(derive(load(spec_path)))
    backward = schedule.backward
    shares = [term.contribution for gather in backward.gathers() for term in (*gather.terms, *gather.at_last)
              if isinstance(term, Share)]
    keys = [(fork.target, fork.reader, fork.lag, str(fork.at_reader)) for fork in shares]
    assert len(keys) == len(set(keys))
