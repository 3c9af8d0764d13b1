def _inverse_rms(a, eps):
    """1 / sqrt(mean of squares + eps) over the last axis; of half precision, computed in float32."""
    wide = a.astype(jnp.promote_types(a.dtype, jnp.float32))
    return (1 / jnp.sqrt((wide * wide).mean(-1) + eps)).astype(a.dtype)
