def _inverse_std(a, eps):
    """1 / sqrt(variance + eps) over the last axis; of half precision, computed in float32."""
    wide = a.astype(jnp.promote_types(a.dtype, jnp.float32))
    centred = wide - wide.mean(-1, keepdims=True)
    return (1 / jnp.sqrt((centred * centred).mean(-1) + eps)).astype(a.dtype)
