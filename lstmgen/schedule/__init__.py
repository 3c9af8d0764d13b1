"""What is computed when, over which steps, what is kept and what is carried: decided once, for every output.

May import: language, spec, derivation. Start reading at records.py; then make.py, plan.py (order and stacks),
forward.py and backward.py (statements).
"""
