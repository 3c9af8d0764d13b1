def _inverse_rms(a, eps):
    """1 / sqrt(mean of squares + eps) over the last axis."""
    return 1 / np.sqrt((a * a).mean(-1) + eps)
