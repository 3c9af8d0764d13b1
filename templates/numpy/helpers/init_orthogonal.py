def _orthogonal(rng, shape):
    """Orthonormal columns, or rows where there are more columns than rows."""
    *heads, rows, columns = shape if len(shape) > 1 else (*shape, 1, 1)[:2]
    q, r = np.linalg.qr(rng.normal(size=(*heads, max(rows, columns), min(rows, columns))))
    q *= np.where(np.einsum("...ii->...i", r) < 0, -1, 1)[..., None, :]
    return (q if rows >= columns else np.swapaxes(q, -1, -2)).reshape(shape)
