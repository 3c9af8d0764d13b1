"""The proofs of a derivation and of a module, which share no code with what they check.

May import: language, spec, derivation, numerics. Start reading at verify.py.
interpret.py imports neither graph nor derivation, so that it can be compared with both.
"""
