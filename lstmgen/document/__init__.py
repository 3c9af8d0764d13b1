"""Everything that is written about a cell: the document with its symbols and drawings, and the terminal.

May import: everything up to outputs. Start reading at compose.py, the order of the sections.
"""
