"""The commands. Nothing else prints or exits; what they print is made elsewhere.

May import: everything. Start reading at commands.py.
"""

from .commands import main

__all__ = ["main"]
