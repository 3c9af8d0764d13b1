"""What there is to say about a claim: the verdict, what is wrong with it, and an example in numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..language.expressions import Expression
from .claims import Claim, Claims

HOLDS, GIVEN, WRONG = "holds", "holds given", "wrong"
MISSING, EXTRA, OFF, SHAPE, OTHER = "missing", "extra", "off", "shape", "other"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a claim, or that it leaves unsaid."""

    kind: str  # missing | extra | off | shape | other
    sentence: str
    term: str = ""  # of the truth, in the source's names; of the claim where the kind is extra
    through: str = ""  # who reads the value there, and when: c[t+1]


@dataclass(frozen=True)
class Example:
    """One small case in numbers."""

    where: str
    values: tuple[tuple[str, float], ...]
    claimed: float | None  # None: no number
    true: float


@dataclass(frozen=True)
class Judgement:
    """What there is to say about one claim."""

    claim: Claim
    verdict: str
    given: str = ""  # under which condition it holds
    findings: tuple[Finding, ...] = ()
    correct: str = ""  # the equation as it should be, in the source's names
    correct_expression: Expression | None = field(default=None, repr=False)
    correct_subject: Expression | None = field(default=None, repr=False)  # its left side, where it was moved
    example: Example | None = None

    @property
    def as_expected(self) -> bool:
        return self.claim.expect in (None, self.verdict)


@dataclass(frozen=True)
class Audit:
    """Every claim of a file with its judgement."""

    claims: Claims
    judgements: tuple[Judgement, ...]

    @property
    def holds(self) -> bool:
        """Whether no claim is wrong."""
        return all(judgement.verdict != WRONG for judgement in self.judgements)
