"""JAX: NAME_jax.py, pure functions whose derivative is the derived backward pass.

May import: what outputs may, and outputs/numpy, whose spelling of arrays and lines it shares. Start reading at module.py;
forward.py and backward.py print the two passes, target.py runs them for the proofs.
"""
