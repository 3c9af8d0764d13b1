def _fill(a, n):
    """Every entry n times along a new last axis."""
    return jnp.broadcast_to(jnp.asarray(a)[..., None], (*jnp.shape(a), n))
