"""What is said of a cell: the document, its symbols and drawings, and the terminal.

May import: everything up to outputs. Start reading at compose.py, the order of the sections.
"""
