"""What is computed when, over what, and what is kept and carried: decided once, for every output.

May import: language, spec, derivation. Start reading at records.py; then make.py, plan.py (order and stacks),
forward.py and backward.py (statements).
"""
