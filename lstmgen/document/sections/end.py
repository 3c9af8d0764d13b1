"""The last pages: what was proved, and the two loops of the module."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

from ...proofs.verdict import Verdict
from ..blocks import Block, Listing, Prose, Section, Table
from ..inline import code, math as formula, strong, words
from ..pen import Pen
from ..wording import listed, sentence


def listing_section(module_name: str, text: str) -> Section:
    """`text` is the two loops of the module."""
    if not text.isascii() or "\\" in text:
        raise ValueError("a listing is ASCII without a backslash: it could end itself otherwise")
    return Section("The two loops", "listing", (
        Prose(f"This is what {code(module_name + '.py')} computes forward and backward, generated from the same "
              f"derivation. The "
              "numbers in its comments are those of the equations above; the first axis is the step, the second the batch."),
        Listing(text.rstrip("\n")),
    ))


def proofs_section(pen: Pen, proofs: Verdict | None) -> Section:
    """On what the proofs were run, and how often; no measured figure."""
    digest = hashlib.sha256(pen.spec.source.encode("utf-8")).hexdigest()
    source = Prose(f"The specification of this document has the SHA-256 {code(digest)}.")
    if proofs is None:
        return Section("What was proved", "proofs", (
            Prose(f"{strong('Nothing was verified.')} The proofs were not run."), source))
    blocks: list[Block] = [
        Prose("The equations and the module were checked before they were written, by code that shares nothing with the "
              "derivation. " + words(r"An error is $\max|a-b|/\max|b|$ of an array.")),
        Table("", ("l", 335.0, "l"), ("Proof", "What was compared", "Bound"),
              _proof_rows(pen, proofs), small=True, tight=True),
    ]
    if proofs.untaken:
        blocks.append(Prose("No point was found that takes both sides of a choice in "
                            + listed([code(name) for name in proofs.untaken]) + "."))
    if proofs.replaced:
        blocks.append(Prose("The specification replaces a derivative in " + listed([code(name) for name in proofs.replaced])
                            + "; the proofs take what it says for the derivative there."))
    return Section("What was proved", "proofs", (*blocks, source))


def _proof_rows(pen: Pen, proofs: Verdict) -> tuple[tuple[str, ...], ...]:
    module = (words(f"${pen.notation.steps}={proofs.module_steps}$, $B={proofs.batch}$, ")
              + f"{_sizes(pen, proofs.module_sizes)}".rstrip(", "))
    few = formula(f"{pen.notation.steps}={proofs.steps}")
    tiny = f"{few}, {_sizes(pen, proofs.sizes)}".rstrip(", ")
    told = (
        f"the module's forward pass with a direct reading of the specification's text; {module}",
        f"{proofs.module_entries} derivatives of the module with complex steps of its forward pass; "
        f"{module}, non-zero initial states, random weights on every output and final state",
        f"{proofs.entries} derivatives by the equations above with central differences of the "
        f"specification's text, in 90-digit arithmetic; {tiny}",
        f"one pass over all steps with two that hand on the state and its gradient; {module}",
        f"the derivation with and without each of its {proofs.forks} contributions: some gradient has to change",
    )
    rows = []
    for proof, (name, what) in enumerate(zip(_PROOFS, told)):
        bound = next((figure.bound for figure in proofs.figures if figure.proof == proof), None)
        if bound is not None:
            relation = ">" if proof == len(_PROOFS) - 1 else r"\le"
            rows.append((name, sentence(what), formula(f"{relation} {_power_of_ten(bound)}")))
    return tuple(rows)


def _sizes(pen: Pen, sizes: Mapping[str, int]) -> str:
    return ", ".join(formula(f"{pen.notation.size(symbol)}={size}") for symbol, size in sizes.items())


_PROOFS = ("Meaning", "Complex step", "High precision", "Splitting", "Knock-out")


def _power_of_ten(bound: float) -> str:
    return f"10^{{{round(math.log10(bound))}}}"
