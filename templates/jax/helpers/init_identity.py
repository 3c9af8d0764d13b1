def _identity(shape, dtype):
    """Ones on the diagonal."""
    return jnp.eye(*shape, dtype=dtype)
