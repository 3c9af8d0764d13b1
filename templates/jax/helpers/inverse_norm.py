def _inverse_norm(a, eps):
    """1 / sqrt(sum of squares + eps) over the last axis; of half precision, computed in float32."""
    wide = a.astype(jnp.promote_types(a.dtype, jnp.float32))
    return (1 / jnp.sqrt((wide * wide).sum(-1) + eps)).astype(a.dtype)
