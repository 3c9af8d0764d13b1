def _place(a, k, n):
    """`a` as the k-th of n equal parts, zeros elsewhere."""
    size = a.shape[-1]
    placed = np.zeros(a.shape[:-1] + (n * size,), a.dtype)
    placed[..., k * size:(k + 1) * size] = a
    return placed
