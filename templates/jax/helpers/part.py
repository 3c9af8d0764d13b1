def _part(a, k, n):
    """The k-th of n equal parts of the last axis."""
    size = a.shape[-1] // n
    return a[..., k * size:(k + 1) * size]
