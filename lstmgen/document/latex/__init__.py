"""Expressions, drawings and whole documents in LaTeX.

May import: what document may. Start reading at printer.py.
"""
