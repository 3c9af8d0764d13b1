def _orthogonal(key, shape, dtype):
    """Orthonormal columns, or rows where there are more columns than rows."""
    *heads, rows, columns = shape if len(shape) > 1 else (*shape, 1, 1)[:2]
    wide = jnp.promote_types(dtype, jnp.float32)  # there is no QR in half precision
    q, r = jnp.linalg.qr(jax.random.normal(key, (*heads, max(rows, columns), min(rows, columns)), wide))
    q *= jnp.where(jnp.einsum("...ii->...i", r) < 0, -1, 1)[..., None, :]
    return (q if rows >= columns else jnp.swapaxes(q, -1, -2)).reshape(shape).astype(dtype)
