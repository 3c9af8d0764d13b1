r"""The last pages: the module, and what was proved."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

from ...proofs.verdict import Verdict
from ..blocks import Block, Listing, Prose, Section, Table
from ..latex.escape import escape
from ..pen import Pen
from ..wording import code, listed, sentence


def module_section(module_name: str, text: str) -> Section:
    """`text` is the module without its checks of arguments."""
    if not text.isascii() or "\\" in text:
        raise ValueError("a listing is ASCII without a backslash: it could end itself otherwise")
    return Section("The module", "module", (
        Prose(rf"This is \texttt{{{escape(module_name)}.py}} without its checks of arguments, generated from the same "
              "derivation. The numbers in its comments are those of the equations above."),
        Listing(text.rstrip("\n")),
    ))


def proofs_section(pen: Pen, proofs: Verdict | None) -> Section:
    """On what the proofs were run, and how often; no measured figure."""
    digest = hashlib.sha256(pen.spec.source.encode("utf-8")).hexdigest()
    pieces = r"\allowbreak ".join(digest[at : at + 8] for at in range(0, len(digest), 8))
    source = Prose("The specification of this document has the SHA-256 "
                   rf"\texttt{{{pieces}}}.")
    if proofs is None:
        return Section("What was proved", "proofs", (
            Prose(r"\textbf{Nothing was verified.} The proofs were not run."), source))
    blocks: list[Block] = [
        Prose("The equations and the module were checked before they were written, by code that shares "
              r"nothing with the derivation. An error is $\max|a-b|/\max|b|$ of an array."),
        Table("The proofs, what they compared, and their bounds.",
              r"@{}l >{\raggedright\arraybackslash}p{.60\linewidth} l@{}", ("Proof", "What was "
                                                                                     "compared", "Bound"),
              _proof_rows(pen, proofs)),
    ]
    if proofs.untaken:
        blocks.append(Prose("No point was found that takes both sides of a choice in "
                            + listed([code(name) for name in proofs.untaken]) + "."))
    if proofs.replaced:
        blocks.append(Prose("The specification replaces a derivative in " + listed([code(name) for name in proofs.replaced])
                            + "; the proofs take what it says for the derivative there."))
    return Section("What was proved", "proofs", (*blocks, source))


def _proof_rows(pen: Pen, proofs: Verdict) -> tuple[tuple[str, ...], ...]:
    module = (f"$T={proofs.module_steps}$, $B={proofs.batch}$, "
              f"{_sizes(pen, proofs.module_sizes)}".rstrip(", "))
    tiny = f"$T={proofs.steps}$, {_sizes(pen, proofs.sizes)}".rstrip(", ")
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
            rows.append((name, sentence(what), f"${relation} {_power_of_ten(bound)}$"))
    return tuple(rows)


def _sizes(pen: Pen, sizes: Mapping[str, int]) -> str:
    return ", ".join(f"${pen.notation.size(symbol)}={size}$" for symbol, size in sizes.items())


_PROOFS = ("Meaning", "Complex step", "High precision", "Splitting", "Knock-out")


def _power_of_ten(bound: float) -> str:
    return f"10^{{{round(math.log10(bound))}}}"
