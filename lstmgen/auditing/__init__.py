"""Other people's derivations and code, compared with the derived gradient.

May import: everything up to document, and pipeline. Start reading at judge.py.
"""
