def _abs(a):
    """|a|, which keeps the imaginary part of a complex step (np.abs drops it)."""
    return np.where(a < 0, -a, a)
