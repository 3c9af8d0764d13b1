"""The C output: forward, backward and step of a cell, which need a C compiler and nothing else.

May import: what outputs may, and outputs/numpy, whose interface loader.py repeats. Start reading at module.py; lines.py
prints the statements of a program, and templates/c/ holds what is the same for every cell.
"""
