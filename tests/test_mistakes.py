"""Code audits: several mistakes at once, what is cut back, a forward pass that is another one's."""

from __future__ import annotations

import json
from unittest.mock import patch

import mistakes
import numpy as np
import pytest

from lstmgen.auditing.code import audit_answers
from lstmgen.auditing.comparing import CodeAudit, value_meant
from lstmgen.auditing.foreign import ForeignError
from lstmgen.auditing.given import FINAL, Change, Data, Given
from lstmgen.auditing.scene import Edit
from lstmgen.auditing.search import Search
from lstmgen.auditing.tries import chunks
from lstmgen.derivation.build import build_graph
from lstmgen.derivation.chain import derive
from lstmgen.language.expressions import Adjoint, Call, MatVec, Value, negative, product, substitute, total, transform, values
from lstmgen.numerics.points import choose_sizes
from lstmgen.pipeline import load


class Backward:
    """Somebody's backward pass of a cell: ours with something done differently."""

    def __init__(self, spec: str, change: Change | None = None, outputs: tuple[str, ...] = (), least: int = 1):
        self.derivation = derive(build_graph(load(spec)))
        self.change, self.outputs, self.least = change or Change(), outputs, least

    def __call__(self, data: Data) -> dict[str, np.ndarray]:
        if data.steps < self.least:
            raise ForeignError("IndexError")
        scene = Given(self.derivation, self.sizes(data), data, self.change)
        steps = range(1, data.steps + 1)
        graph = self.derivation.graph
        found = {name: scene.total(name).sum(axis=0) for name in graph.parameters}
        values = {name: value_meant(name, self.derivation) for name in self.outputs}
        return found | {name: np.stack([scene.values[step][value] for step in steps]) for name, value in values.items()}

    def sizes(self, data: Data) -> dict[str, int]:
        return choose_sizes(self.derivation.graph, 2)

    def audited(self) -> CodeAudit:
        return audit_answers(self.derivation.graph, self)


def cut(derivation, target: str, lag: int, edit: Edit) -> Change:
    """The same done to all contributions to one value."""
    return Change({fork.key: edit for fork in derivation.contributions() if fork.target == target and fork.lag == lag})


# ---------------------------------------------------------------- several mistakes


@pytest.mark.parametrize("name", ["rnn", "gru_reset_before", "slstm"])
def test_pairs_of_mistakes_are_explained_and_right_code_agrees(name):
    maker = mistakes.Maker(name, seed=3)
    assert maker.audited(Change()).holds
    made = list(maker.made(3))
    assert not any(each.audit.holds for each in made)
    assert sum(each.audit.complete for each in made) >= 2, [each.audit.lines() for each in made]


def test_each_of_two_mistakes_is_told_with_the_gradients_that_it_explains():
    derivation = Backward("lstm").derivation
    forks = {(fork.target, fork.reader): fork for fork in derivation.contributions() if not fork.lag}
    strange = product(Call("sin", (Call("sum", (Value("c"),)),)), forks["W_o", "o_pre"].term)  # nothing explains it
    change = Change({
        forks["W_o", "o_pre"].key: Edit(strange),
        forks["W_f", "f_pre"].key: Edit(cut="not first"),
    })
    found = Backward("lstm", change).audited()
    assert [each.names for each in found.found] == [("W_f",)] and "= for +=" in found.explanation
    assert found.unexplained == ("W_o",)
    lines = found.lines()
    assert lines[0] == "12 gradients: 2 differ, 10 agree" and "     this explains d_W_f" in lines
    assert any(line.startswith("not explained: ") and "d_W_o" in line for line in lines)
    told = json.loads(json.dumps(found.as_json()))
    assert told["mistakes"][0]["explains"] == ["W_f"] and "W_o" in told["unexplained"] and not told["explains_all"]


def test_a_mistake_that_explains_nothing_in_the_shortest_sequence_is_not_tried_in_longer_ones():
    theirs = Backward("lstm")

    def answer(data: Data) -> dict[str, np.ndarray]:
        return {name: array * np.sin(7 * array) for name, array in theirs(data).items()}

    with patch.object(Search, "_look", autospec=True, side_effect=Search._look) as looks:
        audit = audit_answers(theirs.derivation.graph, answer)
    assert not audit.holds and not audit.explanation
    steps = [call.args[1].data.steps for call in looks.call_args_list]
    assert steps.count(1) > 500 and sum(step > 1 for step in steps) < 50


def test_gradients_that_are_set_and_a_wrong_way_back_are_both_found():
    derivation = Backward("rnn").derivation
    back = next(fork for fork in derivation.contributions() if fork.target == "h" and fork.lag)
    edits = {back.key: Edit(MatVec(Value("R_h"), back.upstream.__class__(back.upstream.name, 1)))}
    edits |= {fork.key: Edit(cut="not first") for fork in derivation.contributions() if fork.over_time}
    found = Backward("rnn", Change(edits)).audited()
    assert found.complete
    assert "the transposition is missing" in found.found[0].sentence and "= for +=" in found.found[1].sentence


# ---------------------------------------------------------------- what is cut back


def test_the_chunks_of_a_sequence():
    assert list(chunks(2)) == [] and list(chunks(3)) == [(2,), (1,)]
    assert list(chunks(4))[:3] == [(2,), (3,), (1,)] and (1, 3) in chunks(4)
    assert (3, 6) in chunks(8) and (2, 5) in chunks(8)


@pytest.mark.parametrize("spec", ["rnn", "lstm"])
@pytest.mark.parametrize("ends, words", [((2,), "the sequence is cut before step 3"), ((1, 3), "before step 2 and step 4")])
def test_a_sequence_in_chunks_is_told_so(spec, ends, words):
    derivation = Backward(spec).derivation
    later = Change({fork.key: Edit(at=frozenset(ends)) for fork in derivation.contributions() if fork.lag})
    found = Backward(spec, later).audited()
    assert found.complete and words in found.explanation


def test_truncated_back_propagation_is_told_with_its_number_of_steps():
    class Truncated(Backward):
        def __call__(self, data: Data) -> dict[str, np.ndarray]:
            base = Given(self.derivation, self.sizes(data), data)
            later = [fork.key for fork in self.derivation.contributions() if fork.lag]
            parts = []
            for step in range(1, data.steps + 1):
                scene = base.from_step(step, {key: Edit(at=frozenset(range(max(0, step - 2)))) for key in later})
                parts.append({name: scene.total(name).sum(axis=0) for name in self.derivation.graph.parameters})
            return {name: sum(part[name] for part in parts) for name in parts[0]}

    found = Truncated("lstm").audited()
    assert found.explanation == "back propagation is truncated: the error of a step goes back 2 steps, and no further"
    assert any("from 4 steps on: it agrees for 3" in line for line in found.lines())


def test_a_gradient_that_is_added_behind_an_activation_is_told_so(tmp_path):
    (tmp_path / "cell.yaml").write_text(
        "name: cell\nstate: {h: H, c: H}\nparameters: {W: [H, D], R: [H, H], p: H}\n"
        "equations:\n  c: tanh(W @ x + R @ h[t-1] + p * c[t-1])\n  h: c * sigmoid(c)\noutput: h\n")
    right = Backward(str(tmp_path / "cell.yaml"))
    spec = right.derivation
    act = next(fork for fork in spec.contributions() if (fork.target, fork.reader) == ("c_pre", "c"))
    back = [fork for fork in spec.contributions() if fork.target == "c" and fork.lag]
    share = total(*(fork.term for fork in back), Adjoint(FINAL + "c"))
    wrong = total(substitute(act.term, Adjoint("c"), total(Adjoint("c"), negative(share))), share)
    found = Backward(str(tmp_path / "cell.yaml"), Change({act.key: Edit(wrong)})).audited()
    assert found.explanation.startswith("the gradient of c from the next step is added behind the activation")
    assert found.complete
    assert right.audited().holds


def test_code_that_takes_no_short_sequence_gets_a_note():
    derivation = Backward("rnn").derivation
    found = Backward("rnn", cut(derivation, "b_h", 0, Edit(cut="not first")), least=2).audited()
    assert "in a sequence of 1 step it does not run, which was not counted: IndexError" in found.notes[0]
    assert found.complete and "of b_h" in found.explanation and "from 2 steps on" not in found.explanation


# ---------------------------------------------------------------- the forward pass


@pytest.mark.parametrize("outputs", [(), ("y",), ("y_h", "value.n", "value.r")])
def test_a_slip_in_the_forward_pass_is_told_first_and_explained(outputs):
    graph = Backward("gru_reset_before").derivation.graph
    stage = next(stage for stage in graph.stages if Value("h", -1) in set(values(stage.expression)) and stage.owner == "n"
                 and Value("r") in set(values(stage.expression)))
    change = Change(equations={stage.name: Value("h", -1)})
    found = Backward("gru_reset_before", change, outputs).audited()
    assert found.explanation == "in the forward pass, in the equation of n: the factor r is missing"
    assert found.complete and not found.holds
    if outputs:
        first = "n" if "value.n" in outputs else "h"
        assert found.lines()[0].startswith(f"the forward pass is another cell's: {first} differs from the first step on")
        assert found.as_json()["forward"] == found.forward
    else:
        assert not found.forward


def test_outputs_that_agree_are_not_told():
    found = Backward("gru_reset_before", outputs=("y", "value.n")).audited()
    assert found.holds and found.lines()[0] == "9 gradients: 9 agree"
    assert Backward("lstm", outputs=("y",)).audited().holds


def test_a_state_that_is_carried_through_an_activation_is_told_so():
    derivation = Backward("lstm").derivation
    before, readers = Value("c", -1), derivation.graph.stages
    change = Change(equations={
        stage.name: transform(stage.expression, lambda node: Call("tanh", (before,)) if node == before else None)
        for stage in readers if before in set(values(stage.expression))})
    found = Backward("lstm", change, ("y",)).audited()
    assert found.forward.startswith("the forward pass is another cell's: h differs from the first step on")
    assert found.explanation == "in the forward pass: tanh(c) is carried to the next step" and found.complete


@pytest.mark.parametrize("wrong", [{"h": "y"}, {"W_h": "value.W_h"}])
def test_a_name_that_is_no_value_of_a_step_is_refused(wrong):
    right = Backward("rnn")
    (ours, theirs), = wrong.items()

    def answer(data: Data) -> dict[str, np.ndarray]:
        found = right(data)
        return {theirs: np.zeros((1, 2))} if ours == "W_h" else found | {"y": np.zeros((1, 2, 3))}

    if ours == "W_h":
        with pytest.raises(ForeignError, match="is not a gradient of this cell"):
            audit_answers(right.derivation.graph, answer)
    else:
        assert "the shape of h is (1, 2, 3)" in audit_answers(right.derivation.graph, answer).forward
