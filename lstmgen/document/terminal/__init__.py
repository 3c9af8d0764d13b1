"""The same derivation in the terminal: `show`, `explain`, `list`, `diff`.

May import: what document may. Start reading at show.py.
"""
