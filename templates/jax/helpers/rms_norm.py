def _rms_norm(a, eps):
    """a / sqrt(mean of squares + eps) over the last axis; of half precision, computed in float32."""
    wide = a.astype(jnp.promote_types(a.dtype, jnp.float32))
    return (wide / jnp.sqrt((wide * wide).mean(-1, keepdims=True) + eps)).astype(a.dtype)
