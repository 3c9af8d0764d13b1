"""The drawing of one step: everything is there, nothing touches what it should not, the same bytes twice."""

from __future__ import annotations

import functools
import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmgen.document.drawing.drawing import (
    AFFINE, CALL, OPERATOR, SINK, SOURCE, Drawing, Edge, Node, Wire, fork_names, forks, label_height,
    make_drawing,
)
from lstmgen.language.expressions import Call
from lstmgen.derivation.build import build_graph
from lstmgen.document.drawing.layout import ABOVE_WIRE, BADGE, Layout
from lstmgen.document.drawing.placement import place
from lstmgen.document.notation import make_notation
from lstmgen.pipeline import build
from lstmgen.resources import find_spec
from lstmgen.document.drawing.simplex import Spring, solve
from lstmgen.spec.reader import load
from lstmgen.document.latex.printer import Printer
from lstmgen.document.latex.tikz import UPRIGHT, draw_blocks, draw_step, split

TOUCH = 0.05  # millimetres: what is rounded away


@functools.cache
def cell(path):
    graph = build_graph(load(path))
    colours = {name: f"fork{number}" for number, name in enumerate(fork_names(graph), 1)}
    return graph, make_notation(graph), colours


@functools.cache
def laid_out(path):
    drawing = make_drawing(*cell(path))
    return drawing, place(drawing)


@functools.cache
def figures(path):
    return draw_step(*cell(path)), draw_blocks(*cell(path))


# ---------------------------------------------------------------- what is wrong with a layout


def segments(layout: Layout):
    for path in layout.paths:
        for a, b in itertools.pairwise(path.points):
            yield path, a, b


def through_boxes(layout: Layout) -> list[str]:
    found = []
    for path, a, b in segments(layout):
        for box in layout.boxes:
            inside = TOUCH
            if (min(a[0], b[0]) < box.right - inside and max(a[0], b[0]) > box.left + inside
                    and min(a[1], b[1]) < box.bottom - inside and max(a[1], b[1]) > box.top + inside):
                found.append(f"{path.wire.name} through {box.node.name}")
    return found


def on_one_another(layout: Layout, apart: float = 0.8) -> list[str]:
    """Pieces of different values that run side by side nearer than two lines may."""
    found = []
    for (one, a, b), (other, c, d) in itertools.combinations(segments(layout), 2):
        if one.wire == other.wire:
            continue
        for along, across in ((0, 1), (1, 0)):
            if a[across] == b[across] and c[across] == d[across] and abs(a[across] - c[across]) < apart:
                low = max(min(a[along], b[along]), min(c[along], d[along]))
                if min(max(a[along], b[along]), max(c[along], d[along])) - low > TOUCH:
                    found.append(f"{one.wire.name} and {other.wire.name}")
    return found


def labels(layout: Layout):
    """Rectangles of everything that is written: (what, left, top, right, bottom)."""
    for box in layout.boxes:
        yield box.node.name, box.left, box.top, box.right, box.bottom
        if box.node.caption:
            right = box.caption_left + box.node.caption_width
            yield f"caption of {box.node.name}", box.caption_left, box.caption_top, right, box.y - ABOVE_WIRE
    for mark in layout.badges:
        yield f"badge of {mark.wire.name}", mark.x - BADGE, mark.y - BADGE, mark.x + BADGE, mark.y + BADGE


def overlapping(layout: Layout) -> list[str]:
    return [
        f"{one[0]} and {other[0]}" for one, other in itertools.combinations(labels(layout), 2)
        if one[1] < other[3] - TOUCH and other[1] < one[3] - TOUCH
        and one[2] < other[4] - TOUCH and other[2] < one[4] - TOUCH
    ]


def struck_out(layout: Layout) -> list[str]:
    """Captions and badges with a wire through them, other than their own."""
    found = []
    for what, left, top, right, bottom in labels(layout):
        if not what.startswith(("caption", "badge")):
            continue
        for path, a, b in segments(layout):
            own = what.removeprefix("caption of ").removeprefix("badge of ") == path.wire.name
            if not own and (min(a[0], b[0]) < right and max(a[0], b[0]) > left
                            and min(a[1], b[1]) < bottom and max(a[1], b[1]) > top):
                found.append(f"{path.wire.name} through the {what}")
    return found


def outside(layout: Layout) -> list[str]:
    points = [(path.wire.name, *point) for path in layout.paths for point in path.points]
    points += [(what, left, top) for what, left, top, _, _ in labels(layout)]
    points += [(what, right, bottom) for what, _, _, right, bottom in labels(layout)]
    return [what for what, x, y in points
            if max(-x, -y, x - layout.width, y - layout.height) > TOUCH]


def missing(drawing: Drawing, layout: Layout) -> set:
    """Edges that no path ends, and ends of paths that are no edges."""
    wanted = {(edge.wire, edge.reader) for edge in drawing.edges}
    boxes = {box.node.name: box for box in layout.boxes}
    drawn = set()
    for path in layout.paths:
        assert all(a[0] == b[0] or a[1] == b[1] for a, b in itertools.pairwise(path.points))
        if path.ends:
            (reader,) = path.readers
            x, y = path.points[-1]
            box = boxes[reader]
            at_left = abs(x - box.left) < TOUCH and box.top - TOUCH <= y <= box.bottom + TOUCH
            at_ends = abs(x - box.x) < TOUCH and min(abs(y - box.top), abs(y - box.bottom)) < TOUCH
            assert at_left or (at_ends and box.node.kind == OPERATOR), f"{path.wire.name} misses {reader}"
            drawn.add((path.wire.name, reader))
    return wanted ^ drawn


def torn(layout: Layout) -> list[str]:
    """Values whose pieces do not hang together."""
    found = []
    starts = {box.node.name: (box.right, box.y) for box in layout.boxes}
    for wire in dict.fromkeys(path.wire for path in layout.paths):
        pieces = [path for path in layout.paths if path.wire == wire]
        reached = [starts[wire.producer]]
        for path in pieces:  # in the order in which they branch
            x, y = path.points[0]
            if not any(abs(x - a) < TOUCH and abs(y - b) < TOUCH for a, b in reached):
                found.append(wire.name)
            reached.append(path.points[-1])
    return found


def assert_is_in_order(drawing: Drawing, layout: Layout) -> None:
    assert not missing(drawing, layout)
    assert not torn(layout)
    assert not through_boxes(layout)
    assert not on_one_another(layout)
    assert not overlapping(layout)
    assert not struck_out(layout)
    assert not outside(layout)


# ---------------------------------------------------------------- every cell


def test_nothing_touches_what_it_should_not(spec_path):
    assert_is_in_order(*laid_out(spec_path))


def test_rows_of_a_drawing_are_in_order_too(spec_path):
    drawing, _ = laid_out(spec_path)
    layout = place(drawing, wire_gap=max(label_height(wire.symbol) for wire in drawing.wires) + 0.1)
    assert_is_in_order(drawing, layout)
    rows = split(layout, layout.width / 1.7)
    assert len(rows) >= 2
    for row in rows:
        assert not through_boxes(row)
        assert not on_one_another(row)
        assert not overlapping(row)
        assert not struck_out(row)
        assert not outside(row)
    shown = [box.node.name for row in rows for box in row.boxes]
    assert {node.name for node in drawing.nodes} <= set(shown)


def test_every_stage_and_every_reader_is_drawn(spec_path):
    graph, _, _ = cell(spec_path)
    drawing, _ = laid_out(spec_path)
    names = {node.name for node in drawing.nodes}
    moving = [stage for stage in graph.stages if stage.name not in graph.static]
    assert {stage.name for stage in moving} <= names
    assert {f"{state} leaves" for state in graph.states} <= names
    for stage in moving:  # each value that it reads reaches its box, perhaps through its own operators
        reached = {edge.wire for edge in drawing.edges
                   if edge.reader == stage.name or re.fullmatch(re.escape(stage.name) + r" \d+", edge.reader)}
        for name in {*graph.inputs, *(other.name for other in moving)}:
            for reader in graph.readers(name):
                if reader.stage == stage.name:
                    assert (f"{name}[t{-reader.lag:+d}]" if reader.lag else name) in reached


def test_each_fork_has_one_badge_in_its_colour(spec_path):
    _, _, colours = cell(spec_path)
    _, layout = laid_out(spec_path)
    badges = {mark.wire.name: mark.wire for mark in layout.badges}
    read = {path.wire.name for path in layout.paths}
    assert len(badges) == len(layout.badges)
    assert badges.keys() == colours.keys() & read
    assert [wire.colour for wire in badges.values()] == [colours[name] for name in badges]
    figure, _ = figures(spec_path)
    assert [entry.number for entry in figure.legend] == list(range(1, len(colours) + 1))
    for entry in figure.legend:
        assert rf"{{{entry.number}}}" in figure.legend_tex


def test_forks_without_a_colour_have_a_badge_as_well(spec_path):
    graph, _, colours = cell(spec_path)
    told = forks(graph, dict(list(colours.items())[:1]))
    assert {fork.name for fork in told} == set(colours)
    assert {fork.colour for fork in told[1:]} <= {"ink"}


def test_the_same_bytes_twice(spec_path):
    assert figures(spec_path) == (draw_step(*cell(spec_path)), draw_blocks(*cell(spec_path)))


def test_it_fits_the_page(spec_path):
    for figure in figures(spec_path):
        assert figure.width_mm * figure.scale <= 240 and figure.height_mm * figure.scale <= 240
        if figure.fit == UPRIGHT:
            assert figure.width_mm * figure.scale <= 160 and figure.scale >= 0.7
        else:
            assert len(figure.parts) > 1
            assert all(part.fit == UPRIGHT for part in figure.parts)


@pytest.mark.parametrize(
    "name", ["lstm", "peephole_lstm", "gru", "fgr_lstm", "layer_norm_lstm", "projected_lstm"])
def test_a_state_that_runs_through_is_level(name):
    """Where operators alone lead from a state to its next value, that way has no corner."""
    _, layout = laid_out(find_spec(name))
    ways = [path for path in layout.paths if path.heavy]
    assert ways
    for path in ways:
        assert len({y for _, y in path.points}) == 1


def test_peepholes_are_dashed():
    drawing, _ = laid_out(find_spec("peephole_lstm"))
    dashed = {(edge.wire, edge.reader) for edge in drawing.edges if edge.dashed}
    assert {wire.split("[")[0] for wire, _ in dashed} == {"c"}
    assert len(dashed) == 3


@pytest.mark.parametrize("name", ["stacked_lstm", "nas_lstm"])
def test_a_part_has_the_same_number_in_its_box_and_in_its_equation(name):
    graph, notation, _ = cell(find_spec(name))
    drawing, _ = laid_out(find_spec(name))
    labels = {node.name: node.label for node in drawing.nodes}
    parts = [stage for stage in graph.stages
             if isinstance(stage.expression, Call) and stage.expression.function == "part"]
    assert len(parts) > 3
    for stage in parts:
        assert Printer(notation)(stage.expression).startswith(labels[stage.name] + "(")


# ---------------------------------------------------------------- graphs that nobody has seen


@st.composite
def drawings(draw) -> Drawing:
    """Boxes in some order, each reading a few of what came before."""
    sources = draw(st.integers(1, 4))
    nodes = [Node(f"s{index}", SOURCE, "", 8.0, 4.2) for index in range(sources)]
    edges = []
    for index in range(draw(st.integers(1, 22))):
        name = f"n{index}"
        most = draw(st.sampled_from([1, 1, 2, 2, 3, 5]))
        known = st.sampled_from([node.name for node in nodes])
        reads = draw(st.lists(known, min_size=1, max_size=most, unique=True))
        kind = draw(st.sampled_from([AFFINE, CALL] + [OPERATOR] * 2 * (len(reads) <= 3)))
        caption = draw(st.sampled_from(["", "a"]))
        size = (4.6, 4.6) if kind == OPERATOR else (9.0, max(5.6, 2.2 * len(reads) + 0.8))
        nodes.append(Node(name, kind, "", *size, caption, *((4.0, 4.2) if caption else (0.0, 0.0))))
        edges += [Edge(read, name) for read in reads]
    read = {edge.wire for edge in edges}
    for node in tuple(nodes):
        if node.name not in read or draw(st.integers(0, 5)) == 0:
            nodes.append(Node(f"{node.name} leaves", SINK, "", 8.0, 4.2))
            edges.append(Edge(node.name, f"{node.name} leaves"))
    wires = [Wire(node.name, node.name, "fork1" if index % 3 == 0 else "", index % 3 == 0)
             for index, node in enumerate(nodes) if node.kind != SINK]
    return Drawing(tuple(nodes), tuple(wires), tuple(edges))


@settings(max_examples=40)
@given(drawings())
def test_any_graph_is_in_order(drawing):
    assert_is_in_order(drawing, place(drawing))


@settings(max_examples=100)
@given(st.data())
def test_the_simplex_finds_the_least_sum(data):
    count = data.draw(st.integers(1, 4))
    places = st.integers(0, count - 1)
    springs = [
        Spring(min(a, b), max(a, b), length, weight)
        for a, b, length, weight in data.draw(st.lists(
            st.tuples(places, places, st.integers(-1, 2), st.integers(0, 3)), max_size=7))
        if a != b
    ]
    found = solve(count, springs)

    def price(positions):
        return sum(spring.weight * (positions[spring.head] - positions[spring.tail]) for spring in springs)

    def holds(positions):
        return all(positions[spring.head] - positions[spring.tail] >= spring.length for spring in springs)

    assert holds(found) and min(found) == 0
    allowed = filter(holds, itertools.product(range(7), repeat=count))
    assert price(found) == min(map(price, allowed))


def test_a_circle_of_springs_is_refused():
    with pytest.raises(ValueError, match="circle"):
        solve(2, [Spring(0, 1, 1), Spring(1, 0, 1)])


def test_a_large_drawing_is_in_order():
    """Sixty boxes, each reading the one before and one from long ago."""
    nodes = [Node("s", SOURCE, "", 8.0, 4.2)]
    edges = []
    for index in range(60):
        near = nodes[-1] if index % 3 else nodes[max(0, index - 2)]
        reads = {near.name, nodes[(index * 7) % (index + 1)].name}
        nodes.append(Node(f"n{index}", CALL, "", 9.0, 5.6))
        edges += [Edge(read, f"n{index}") for read in sorted(reads)]
    read = {edge.wire for edge in edges}
    wires = tuple(Wire(node.name, node.name) for node in nodes if node.name in read)
    drawing = Drawing(tuple(nodes), wires, tuple(edges))
    assert_is_in_order(drawing, place(drawing))


def test_a_drawing_of_many_rows_has_a_caption(tmp_path):
    """A cell of a hundred and sixty stages in a chain: more rows than numbers have words."""
    lines = ["name: chain", "parameters: {W: [H, D], R: [H, H]}", "state: {h: H}", "output: h", "equations:",
             "  s_0: W @ x + R @ h[t-1]", *(f"  s_{at}: tanh(s_{at - 1})" for at in range(1, 160)), "  h: tanh(s_159)"]
    built = build("\n".join(lines) + "\n", tmp_path, verify=False)
    assert re.search(r"has \d\d rows", built.files[1].read_text(encoding="utf-8"))


@pytest.mark.parametrize("choice", ["greff", "ng", "hats"])
@pytest.mark.parametrize("name", ["fgr_lstm", "slstm", "peephole_lstm", "stacked_lstm"])
def test_symbols_between_three_steps_do_not_touch(name, choice):
    """A gradient's symbol hangs below its wire, the next state's value stands on its own."""
    graph = build_graph(load(find_spec(name)))
    tikz = draw_blocks(graph, make_notation(graph, choice), {}).tikz
    spans: dict[str, list[tuple[float, float]]] = {}
    found = re.findall(r"anchor=(north|south)\] at \(([-\d.]+),([-\d.]+)\) \{\$(.*)\$\};", tikz)
    assert len(found) == 8 * len(graph.states)
    for anchor, x, y, label in found:
        height = label_height(label) if anchor == "north" else -label_height(label)
        spans.setdefault(x, []).append(tuple(sorted((float(y), float(y) + height))))
    for column in spans.values():
        for (_, bottom), (top, _) in itertools.pairwise(sorted(column)):
            assert bottom <= top + TOUCH
