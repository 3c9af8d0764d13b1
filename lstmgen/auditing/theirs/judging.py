"""Code as it stands, compared with a cell: the reading that their outputs confirm, and the audit of their gradients."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...derivation.chain import Derivation, derive
from ...derivation.graph import Graph
from ...language.expressions import Adjoint, Value
from ...numerics.points import choose_sizes
from ...printed import Printed, shortened
from ..code import audit_answers
from ..comparing import CodeAudit
from ..foreign import SECONDS, ForeignError
from ..given import Data, Given, draw
from .adapting import Adapter
from .answers import Answer
from .blocks import assemble
from .drafting import layout_text
from .failures import told
from .guessing import Guesser
from .planning import Plan
from .records import Layout
from .running import Result, Runner
from .sides import Side
from .survey import Survey, survey

LEAST_SIZE = 5  # of the sizes: none is that of another axis, 2 examples or 4 steps
_CLOSE = 1e-7  # of outputs and gradients, relative, in double precision
_CLOSE_SINGLE = 1e-3
_TRIED = 400  # readings of one family
SMALLER = 1e-3  # gradients from outside, where large ones are clipped
_LINES = 12  # of what their code prints
_LONGEST = 160  # characters of one of them


@dataclass(frozen=True, repr=False)
class HandedIn(Printed):
    """Code that was handed in, read and judged."""

    audit: CodeAudit
    layout: str  # the text of the layout file
    guessed: bool  # whether some of it was
    last: str  # which of their last states differs; "" where none does, or the audit says where outputs do
    printed: tuple[str, ...]  # what their code prints

    @property
    def forward(self) -> str:
        """How their forward pass differs from the cell's; "" where it does not, or is not known."""
        return self.last or self.audit.forward

    @property
    def holds(self) -> bool:
        return self.audit.holds and not self.last

    def styled(self) -> str:
        return "\n".join(self.lines())

    def __repr__(self) -> str:
        return f"<HandedIn: {self.audit!r}>"

    def lines(self) -> list[str]:
        """The layout if it was guessed, what their code prints, the outputs, the gradients."""
        read = ["read so (save it as a layout file to change it):", *(f"  {line}" for line in self.layout.splitlines()), ""]
        printed = [f"their code printed: {line}" for line in self.printed]
        return [*(read if self.guessed else []), *printed, *([self.last, ""] if self.last else []), *self.audit.lines()]

    def as_json(self) -> dict[str, object]:
        return self.audit.as_json() | {
            "holds": self.holds, "layout": self.layout, "layout_guessed": self.guessed, "forward": self.forward or None,
            "printed": list(self.printed),
        }


def audit_code(
    graph: Graph, path: str | Path, layout: Layout | None = None, python: str = sys.executable, seconds: float = SECONDS
) -> HandedIn:
    """Run somebody's forward and backward functions and compare them with a cell.

    This runs their file. A `ForeignError` says what keeps it from being compared, and how that is cured.
    """
    code = survey(path)
    return _Judge(graph, code, layout or Layout(), Runner(code, python, seconds)).judged()


@dataclass(frozen=True)
class Guess:
    """The layout of somebody's code, as far as it can be told."""

    text: str  # of a layout file, without spec
    confirmed: bool  # whether their outputs or gradients are those of the cell, so read
    rank: tuple[float, float, int]  # how far they are


def guess_layout(graph: Graph, path: str | Path, python: str = sys.executable, seconds: float = SECONDS) -> Guess:
    """How their code is called for a cell, and how its arrays lie. This runs their file."""
    code = survey(path)
    trial = _Judge(graph, code, Layout(), Runner(code, python, seconds)).chosen()
    return Guess(layout_text(trial.plan), trial.outputs == 1 or trial.agreeing == 1, trial.rank)


@dataclass(frozen=True)
class _Trial:
    """What became of one reading."""

    plan: Plan
    answer: Answer | None
    failed: Mapping[str, Any] | None
    named: bool  # whether their names leave no doubt about the parameters
    outputs: float = 0.5  # 1: those of the cell; 0: others; 0.5: not known
    agreeing: float = 0.0  # the part of the gradients that agrees
    count: int = 0
    clipped: bool = False  # whether large gradients are

    @property
    def perfect(self) -> bool:
        return self.agreeing == 1 and self.outputs > 0

    @property
    def rank(self) -> tuple[float, float, int]:
        return self.outputs, self.agreeing, self.count


class _Judge:
    def __init__(self, graph: Graph, code: Survey, layout: Layout, runner: Runner):
        self.graph, self.code, self.layout, self.runner = graph, code, layout, runner
        self.derivation: Derivation = derive(graph)
        self.sizes = choose_sizes(graph, LEAST_SIZE)
        self.drawn = draw(graph, self.sizes)
        self.guesser = Guesser(layout, code, graph)
        self.truths: dict[tuple[bytes, ...], Given] = {}

    # ------------------------------------------------------------------ which reading

    def chosen(self) -> _Trial:
        """The reading that their outputs, or else their gradients, confirm; else the likeliest that runs."""
        best: list[_Trial] = []
        for family in self.guesser.families():
            trials = self._tried(family.plans[:_TRIED], family.named)
            best += trials
            if any(trial.perfect or trial.outputs == 1 for trial in trials):
                break
            running = [trial for trial in trials if trial.answer is not None and trial.count]
            for trial in sorted(running, key=lambda each: each.rank, reverse=True)[:6]:
                more = self._tried(self.guesser.orders(trial.plan), family.named)
                best += more
                if any(each.perfect or each.outputs == 1 for each in more):
                    break
            if any(trial.perfect or trial.outputs == 1 for trial in best):
                break
        ran = [trial for trial in best if trial.answer is not None and trial.count]
        if not ran:
            raise self._nothing(best)
        return max(ran, key=lambda trial: trial.rank)

    def _nothing(self, tried: Sequence[_Trial]) -> ForeignError:
        """Why no reading could be compared: the failure that came furthest."""
        empty = [trial for trial in tried if trial.answer is not None]
        if empty:
            return ForeignError(f"{empty[0].plan.backward} ran, and nothing in its answer can be told to be a gradient: say "
                                "what it holds: gradients: {dWf: Wf}, or for a tuple a list: gradients: [x, Wf, bf]")
        failed = [trial for trial in tried if trial.failed is not None]
        if failed:
            trial = max(failed, key=_progress)
            assert trial.failed is not None
            adapter = self._adapter(trial.plan)
            return ForeignError(told(trial.failed, adapter, adapter.fitted(self.drawn)))
        return self.guesser.trouble or ForeignError(f"{self.code.path} cannot be called for this cell: write a layout file")

    def _tried(self, plans: Sequence[Plan], named: bool) -> list[_Trial]:
        """All of them in one process of their interpreter."""
        jobs: list[dict[str, Any]] = []
        arrays: dict[str, np.ndarray] = {}
        made: list[tuple[Plan, Adapter, Data, int]] = []
        trials: list[_Trial] = []
        for number, plan in enumerate(plans):
            try:
                adapter = self._adapter(plan)
                data = adapter.fitted(self.drawn)
                own, given = adapter.jobs(data, f"{number}/")
            except ForeignError as problem:
                trials.append(_Trial(plan, None, {"kind": "said", "message": str(problem)}, named))
                continue
            except ValueError as problem:
                trials.append(_Trial(plan, None, {"kind": "said", "message": f"parameters: {problem}"}, named))
                continue
            made.append((plan, adapter, data, len(own)))
            jobs += own
            arrays |= given
        if not jobs:
            return trials
        results, found = self.runner.run(jobs, arrays, trial=True)
        at = 0
        for plan, adapter, data, count in made:
            mine = results[at : at + count]
            at += count
            if len(mine) == count or any(result.failed is not None for result in mine):
                trials.append(self._trial(plan, adapter, data, mine, found, named))
        return trials

    def _adapter(self, plan: Plan) -> Adapter:
        return Adapter(Side(plan, self.graph, self.sizes))

    def _trial(
        self, plan: Plan, adapter: Adapter, data: Data, results: Sequence[Result], arrays: Mapping[str, np.ndarray],
        named: bool,
    ) -> _Trial:
        failed = next((result.failed for result in results if result.failed is not None), None)
        if failed is not None:
            return _Trial(plan, None, failed, named)
        answer = adapter.answer(data, [result.found for result in results], arrays)
        truth = self._truth(data)
        if answer.listed and not plan.layout.gradients:
            plan = self._in_order(plan, adapter.side, answer, truth)
            answer = self._adapter(plan).answer(data, [result.found for result in results], arrays)
        single = any(array.dtype == np.float32 for array in answer.gradients.values())
        bound = _CLOSE_SINGLE if single else _CLOSE
        right = [_is_close(array, _gradient(truth, name), bound) for name, array in answer.gradients.items()]
        if not all(right) and self._unread(data, answer, bound):
            return _Trial(plan, answer, None, named, 0.5, 1, len(right))
        outputs = [_is_close(array, _values(truth, name), bound) for name, array in answer.outputs.items()]
        outputs += [_is_close(array, truth.values[truth.steps][name], bound) for name, array in answer.last.items()]
        known = float(all(outputs)) if outputs else 0.5
        return _Trial(plan, answer, None, named, known, sum(right) / max(len(right), 1), len(right))

    def _unread(self, data: Data, answer: Answer, bound: float) -> bool:
        """Whether the answer is right for code that takes states or their gradients and does not read them."""
        state = {name: 0 * array for name, array in data.state.items()}
        dstate = {name: 0 * array for name, array in data.dstate.items()}
        others = replace(data, state=state), replace(data, dstate=dstate), replace(data, state=state, dstate=dstate)
        return any(
            all(_is_close(array, _gradient(self._truth(other), name), bound) for name, array in answer.gradients.items())
            for other in others
        )

    def _in_order(self, plan: Plan, side: Side, answer: Answer, truth: Given) -> Plan:
        """The plan that says which part of a list of gradients is which: those that are right, then the others in order."""
        true = {name: _gradient(truth, name) for name in side.shapes}
        left = {theirs: assemble(block, true) for theirs, block in side.blocks.items()}
        found: dict[str, str] = {}
        for name, array in answer.listed:
            right = [theirs for theirs, whole in left.items() if _is_close(array.ravel(), whole.ravel(), _CLOSE_SINGLE)]
            if right:
                found[name] = right[0]
                del left[right[0]]
        for name, array in answer.listed:
            if name not in found:
                same = [theirs for theirs, whole in left.items() if whole.shape == array.shape] or list(left)
                found[name] = same[0]
                del left[same[0]]
        pairs = tuple((name, found[name]) for name, _ in answer.listed)
        return replace(plan, layout=plan.layout.with_(gradients=pairs))

    def _truth(self, data: Data) -> Given:
        groups = (data.params, data.inputs, data.state, data.dy, data.dstate)
        key = tuple(np.ascontiguousarray(array).tobytes() for group in groups for array in group.values())
        if key not in self.truths:
            self.truths[key] = Given(self.derivation, self.sizes, data)
        return self.truths[key]

    # ------------------------------------------------------------------ the verdict

    def judged(self) -> HandedIn:
        trial = self.chosen()
        plan, adapter = trial.plan, self._adapter(trial.plan)
        if not trial.perfect and not trial.named and trial.outputs < 1:
            differ = "the outputs differ from those of the cell" if trial.outputs == 0 else "gradients differ"
            raise ForeignError(
                f"which array of {self.code.path} is which parameter cannot be told by its names: in every reading that was "
                f"tried {differ}. Save this as a layout file, correct it, and give it with --layout:\n"
                f"{layout_text(plan).rstrip()}"
            )
        data = adapter.fitted(self.drawn)
        printed: list[str] = []
        smaller = self._smaller(trial, data)
        if smaller is not None:
            trial, data = smaller
        if trial.answer is not None and trial.answer.normalized and trial.agreeing < 1:
            raise ForeignError(
                f"{plan.backward} gives no gradients and changes its parameters, by steps of one size (Adagrad, Adam, "
                "RMSprop): from them a gradient cannot be told. Return the gradients, or leave this update out")

        def answer(given: Data) -> dict[str, np.ndarray]:
            jobs, arrays = adapter.jobs(given)
            results, found = self.runner.run(jobs, arrays)
            failed = next((result.failed for result in results if result.failed is not None), None)
            if failed is not None or len(results) < len(jobs):
                raise ForeignError(told(failed or {"kind": "late"}, adapter, given))
            if not printed:
                printed.extend(shortened(line, _LONGEST) for line in results[0].printed.splitlines()[:_LINES])
            read = adapter.answer(given, [result.found for result in results], found)
            return {**read.gradients, **{f"value.{name}": array for name, array in read.outputs.items()}}

        audit = audit_answers(self.graph, answer, data, tuple(self._notes(trial, data)), self.sizes)
        last = self._last(trial, data) if not audit.holds and not audit.forward else ""
        guessed = any(getattr(self.layout, field) is None for field in ("backward", "vectors", "batch", "parameters"))
        return HandedIn(audit, layout_text(plan, self.layout.spec or ""), guessed, last, tuple(printed))

    def _smaller(self, trial: _Trial, data: Data) -> tuple[_Trial, Data] | None:
        """The same reading with smaller gradients from outside, if more of theirs agree then: large ones are clipped."""
        arriving = (*data.dy.values(), *data.dstate.values())
        if trial.agreeing == 1 or self.graph.loss is not None or not any(np.any(array) for array in arriving):
            return None
        less = replace(data, dy={name: SMALLER * array for name, array in data.dy.items()},
                       dstate={name: SMALLER * array for name, array in data.dstate.items()})
        again = self._of(trial, less)
        return (replace(again, clipped=True), less) if again is not None and again.agreeing > trial.agreeing else None

    def _of(self, trial: _Trial, data: Data) -> _Trial | None:
        """The same reading with other data."""
        adapter = self._adapter(trial.plan)
        jobs, arrays = adapter.jobs(data)
        results, found = self.runner.run(jobs, arrays)
        if len(results) < len(jobs) or any(result.failed is not None for result in results):
            return None
        return self._trial(trial.plan, adapter, data, results, found, trial.named)

    def _notes(self, trial: _Trial, data: Data) -> list[str]:
        """What was taken to be zero, what is not compared."""
        assert trial.answer is not None
        notes = []
        zero = [name for name, array in data.state.items() if not np.any(array)]
        if zero:
            notes.append(f"their code takes no initial {' and '.join(zero)}: compared with a start from zero")
        plan = trial.plan
        final = [name for name, array in data.dstate.items() if not np.any(array)]
        if final and not plan.each:
            notes.append(f"their code takes no gradient of the final {' and '.join(final)}: compared without one")
        quiet = [name for name, array in data.dy.items() if not np.any(array[:-1])]
        if quiet:
            notes.append(f"a gradient arrives at the last {' and '.join(quiet)} alone")
        absent = [name for name, array in data.params.items() if not np.any(array)]
        if absent:
            notes.append(f"their code has no {', '.join(absent)}: compared with zero")
        if trial.clipped:
            times = f"{1 / SMALLER:.0f} times"
            notes.append(f"large gradients are clipped: compared with gradients from outside that are {times} smaller")
        if trial.answer.updated:
            notes.append("their code gives no gradients and changes its parameters: what it takes away from each is compared")
        if trial.answer.missing:
            notes.append(f"not in the answer, and not compared: the gradient of {', '.join(trial.answer.missing)}")
        return [*notes, *trial.answer.unread]

    def _last(self, trial: _Trial, data: Data) -> str:
        """Which of the last states differs from the cell's, of code that hands back no values of all steps."""
        assert trial.answer is not None
        truth = self._truth(data)
        for name, array in trial.answer.last.items():
            if not _is_close(array, truth.values[truth.steps][name], _CLOSE_SINGLE):
                return f"the forward pass is another cell's: its last {name} differs. Look there first"
        return ""


def _progress(trial: _Trial) -> tuple[int, int, int]:
    """How far a trial came before it failed."""
    failed = trial.failed or {}
    in_backward = failed.get("stage") == ".".join(trial.plan.backward.path) and trial.plan.forward is not None
    frames = failed.get("frames") or ()
    kinds = {"said": 0, "name": 1, "place": 2, "given": 4, "pick": 5, "gives": 6}  # the more is known, the later
    return kinds.get(str(failed.get("kind")), 3), int(in_backward), frames[-1][1] if frames else 0


def _gradient(truth: Given, name: str) -> np.ndarray:
    if name in truth.graph.static:
        return np.asarray(truth.total(name).sum(axis=0))
    if name in truth.graph.states:
        return truth.leaf(Adjoint(name), 0)
    return np.stack([truth.leaf(Adjoint(name), step) for step in range(1, truth.steps + 1)])


def _values(truth: Given, name: str) -> np.ndarray:
    return np.stack([truth.leaf(Value(name), step) for step in range(1, truth.steps + 1)])


@np.errstate(all="ignore")
def _is_close(said: np.ndarray, true: np.ndarray, bound: float) -> bool:
    if said.shape != true.shape or not np.isfinite(said).all():
        return False
    return bool(np.abs(said - true).max(initial=0) <= bound * np.abs(true).max(initial=0))


