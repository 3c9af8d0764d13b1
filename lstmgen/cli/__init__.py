"""The commands. No other folder prints or exits. What the commands print is made elsewhere.

May import: everything. Start reading at commands.py.
"""

from .commands import main

__all__ = ["main"]
