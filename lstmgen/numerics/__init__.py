"""A derivation in numbers: points, unrolled steps, paths, vanishing gradients, the worked example.

May import: language, spec, derivation. Start reading at points.py.
"""
