def _orthogonal(key, shape, dtype):
    """Orthonormal columns, or rows where there are more columns than rows."""
    rows, columns = (shape + (1, 1))[:2]
    wide = jnp.promote_types(dtype, jnp.float32)  # there is no QR in half precision
    q, r = jnp.linalg.qr(jax.random.normal(key, (max(rows, columns), min(rows, columns)), wide))
    q *= jnp.where(jnp.diag(r) < 0, -1, 1)
    return (q if rows >= columns else q.T).reshape(shape).astype(dtype)
