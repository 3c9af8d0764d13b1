"""What is computed when, kept, stacked and carried: decided once, for every output.

May import: language, spec, derivation. Start reading at plan.py.
"""
