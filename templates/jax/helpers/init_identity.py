def _identity(shape, dtype):
    """Ones on the diagonal."""
    return jnp.broadcast_to(jnp.eye(*shape[-2:], dtype=dtype), shape)
