"""What there is to say about a claim: the verdict, what is wrong with it, and an example in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import wrap

from ..language.expressions import Expression
from ..printed import WIDTH, Brief, Printed, counted, shortened
from .claims import VERDICTS, Claim, Claims

HOLDS, GIVEN, INCOMPLETE, WRONG, NOT_READ = VERDICTS
MISSING, EXTRA, OFF, SHAPE, OTHER = "missing", "extra", "off", "shape", "other"
OUTSIDE, LOSS = "the output", "the loss"  # who reads a value, where it is no equation
_ORDER = (WRONG, INCOMPLETE, NOT_READ, GIVEN, HOLDS)
INDENT = "    "


@dataclass(frozen=True, repr=False)
class Finding(Brief):
    """One thing that is wrong with a claim, or that it leaves unsaid."""

    kind: str  # missing | extra | off | shape | other
    sentence: str
    term: str = ""  # of the truth, in the source's names; of the claim where the kind is extra
    through: str = ""  # who reads the value there, and when: c[t+1]
    marked: str = ""  # the sentence with each formula between backticks, if it has any


def finding(kind: str, marked: str, term: str = "", through: str = "") -> Finding:
    """A finding whose sentence has its formulas between backticks."""
    return Finding(kind, marked.replace("`", ""), term, through, marked if "`" in marked else "")


@dataclass(frozen=True, repr=False)
class Example(Brief):
    """One small case in numbers."""

    where: str
    values: tuple[tuple[str, float], ...]
    claimed: float | None  # None: no number
    true: float

    def told(self) -> str:
        """Both values, and what they were computed from."""
        values = ", ".join(f"{name} = {value:.5g}" for name, value in self.values)
        claimed = "no number" if self.claimed is None else f"{self.claimed:.5g}"
        given = f"with {values}: " if values else ""
        return f"{given}claimed {claimed}, true {self.true:.5g} ({self.where})"


@dataclass(frozen=True, repr=False)
class Judgement(Printed):
    """What there is to say about one claim."""

    claim: Claim
    verdict: str
    given: str = ""  # under which condition it holds; of an incomplete one: where it is complete, or what of it is there
    findings: tuple[Finding, ...] = ()
    correct: str = ""  # the equation as it should be, in the source's names
    correct_expression: Expression | None = None
    correct_subject: Expression | None = None  # its left side, where it was moved
    example: Example | None = None
    off: tuple[Expression, ...] = ()  # the terms of a wrong claim that are wrong, where others are right
    off_terms: tuple[str, ...] = ()  # the same, in the source's names

    def line(self) -> str:
        """`d_c: holds given t = T`."""
        given = f" {self.given}" if self.given and self.verdict == GIVEN else ""
        where = f"{self.claim.where}: " if self.claim.where else ""
        return f"{where}{self.claim.name}: {self.verdict}{given}"

    def lines(self) -> list[str]:
        """For a terminal: the verdict, and under it what there is to say."""
        told = [self.line()]
        if self.claim.note:
            told += _wrapped("note", self.claim.note)
        if self.verdict == HOLDS:
            return told
        for finding in self.findings:
            told += _wrapped("reason" if self.verdict == NOT_READ else finding.kind, finding.sentence)
        if self.verdict == INCOMPLETE and self.given:
            told += _wrapped("as it is", self.given)
        if self.claim.text:
            told += _wrapped("as written", f"{self.claim.name} = {self.claim.text}")
        for term in self.off_terms:
            told += _wrapped("wrong term", term)
        if self.correct:
            told += _wrapped("correct", self.correct)
        if self.example is not None:
            told += _wrapped("example", self.example.told())
        return told

    def styled(self) -> str:
        return "\n".join(self.lines())

    def __repr__(self) -> str:
        return shortened(f"<Judgement {self.line()}>")

    @property
    def as_expected(self) -> bool:
        return self.claim.expect in (None, self.verdict)


@dataclass(frozen=True, repr=False)
class Audit(Printed):
    """Every claim of a file with its judgement."""

    claims: Claims
    judgements: tuple[Judgement, ...]

    @property
    def holds(self) -> bool:
        """Whether no claim is wrong or incomplete; some may not have been read."""
        return not self.count(WRONG) and not self.count(INCOMPLETE)

    def lines(self) -> list[str]:
        """For a terminal: how many claims hold, and every claim, the wrong ones first."""
        return [self.tally(), "", *(line for judgement in self.by_verdict() for line in judgement.lines())]

    def tally(self) -> str:
        """`4 claims: 1 wrong, 1 incomplete, 2 hold`."""
        counts = {verdict: self.count(verdict) for verdict in _ORDER}
        told = {GIVEN: "under a condition", HOLDS: "holds" if counts[HOLDS] == 1 else "hold"}
        listed = ", ".join(f"{count} {told.get(verdict, verdict)}" for verdict, count in counts.items() if count)
        return f"{counted(len(self.judgements), 'claim')}: {listed or 'none'}"

    def by_verdict(self) -> list[Judgement]:
        """What is to be mended first; of one verdict in the order of the file."""
        return sorted(self.judgements, key=lambda judgement: _ORDER.index(judgement.verdict))

    def count(self, verdict: str) -> int:
        """How many claims have a verdict."""
        return sum(each.verdict == verdict for each in self.judgements)

    def styled(self) -> str:
        return "\n".join(self.lines())

    def __repr__(self) -> str:
        claims = counted(len(self.judgements), "claim")
        return f"<Audit of {self.claims.graph.spec.name}: {claims}, {self.count(WRONG)} wrong>"


def _wrapped(label: str, text: str) -> list[str]:
    """A label and a text beside it, broken between words."""
    head = f"{INDENT}{label:<11}"
    parts = wrap(text, WIDTH - len(head), break_long_words=False, break_on_hyphens=False) or [""]
    return [head + parts[0], *(" " * len(head) + part for part in parts[1:])]
