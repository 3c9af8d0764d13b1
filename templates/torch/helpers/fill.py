def _fill(a, n):
    """Every entry n times along a new last axis."""
    return a[..., None].expand(*a.shape, n)
