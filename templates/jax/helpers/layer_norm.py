def _layer_norm(a, eps):
    """(a - mean) / sqrt(variance + eps) over the last axis; of half precision, computed in float32."""
    wide = a.astype(jnp.promote_types(a.dtype, jnp.float32))
    centred = wide - wide.mean(-1, keepdims=True)
    return (centred / jnp.sqrt((centred * centred).mean(-1, keepdims=True) + eps)).astype(a.dtype)
