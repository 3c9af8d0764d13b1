"""The NumPy module: `forward`, `step` and `backward` as lines of code.

May import: what outputs may. Start reading at module.py; spelling.py spells one expression.
"""
