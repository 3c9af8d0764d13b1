def _rms_norm(a, eps):
    """a / sqrt(mean of squares + eps) over the last axis."""
    return a / np.sqrt((a * a).mean(-1, keepdims=True) + eps)
