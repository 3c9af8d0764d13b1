def _fill(a, n):
    """Every entry n times along a new last axis."""
    return np.repeat(np.asarray(a)[..., None], n, axis=-1)
