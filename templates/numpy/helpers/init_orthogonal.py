def _orthogonal(rng, shape):
    """Orthonormal columns, or rows where there are more columns than rows."""
    rows, columns = (shape + (1, 1))[:2]
    q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
    q *= np.where(np.diag(r) < 0, -1, 1)
    return (q if rows >= columns else q.T).reshape(shape)
