"""The language of equations: text, expression, shapes, values.

May import: errors. Start reading at expressions.py, the tree; then functions.py, the table of functions.
"""
