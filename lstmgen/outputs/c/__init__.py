"""The C output: forward, backward and step of a cell for whoever has a C compiler and nothing else.

May import `schedule`, `derivation`, `language` and `outputs.render`. Start reading at `module.py`.
"""
