"""Why a piece of LaTeX was not read."""

from __future__ import annotations


class NotRead(Exception):
    """A piece that cannot be read: where, why, and what helps."""

    def __init__(self, at: int, reason: str, cure: str = ""):
        super().__init__(at, reason, cure)
        self.at, self.reason, self.cure = at, reason, cure

    def told(self) -> str:
        return f"{self.reason}; {self.cure}" if self.cure else self.reason
