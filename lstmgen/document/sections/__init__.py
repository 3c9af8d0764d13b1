"""The sections of the document, in the order in which a reader meets them.

May import: what document may. Start reading at forward.py.
"""
