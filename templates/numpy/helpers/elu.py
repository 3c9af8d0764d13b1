def _elu(a):
    """a where a > 0, else exp(a) - 1."""
    return np.where(a > 0, a, np.expm1(np.minimum(a, 0)))
