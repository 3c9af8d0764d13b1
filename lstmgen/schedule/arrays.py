"""Names of the arrays of a program that are no values of the spec. No name of a spec has a dot in it."""

from __future__ import annotations


def adjoint_array(name: str) -> str:
    return f"d.{name}"


def outside_array(output: str) -> str:
    return f"dy.{output}"


def carry_array(value: str) -> str:
    """What step t+1 has sent back to a value of step t."""
    return f"next.{value}"


def late_array(value: str) -> str:
    """What a loss at the last step sends to a value of that step; zero at all others."""
    return f"late.{value}"


def sent_by_last_array(value: str) -> str:
    """What a loss at the last step sends to a value of the step before."""
    return f"later.{value}"


def sum_array(name: str) -> str:
    """A gradient added up entry by entry."""
    return f"sum.{name}"


def gradient_array(name: str) -> str:
    """The gradient of a stored parameter: the caller's array."""
    return f"gradient.{name}"


LOSS_ARRAY = "loss."
