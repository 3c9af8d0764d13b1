"""A derivation in numbers: where to look, sweeps, unrolled steps, paths, fading, the worked example.

May import: language, spec, derivation. Start reading at points.py.
"""
