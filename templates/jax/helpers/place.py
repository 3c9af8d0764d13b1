def _place(a, k, n):
    """`a` as the k-th of n equal parts, zeros elsewhere."""
    size = a.shape[-1]
    return jnp.pad(a, [(0, 0)] * (a.ndim - 1) + [(k * size, (n - 1 - k) * size)])
