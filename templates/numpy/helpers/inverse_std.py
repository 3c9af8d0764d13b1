def _inverse_std(a, eps):
    """1 / sqrt(variance + eps) over the last axis."""
    centred = a - a.mean(-1, keepdims=True)
    return 1 / np.sqrt((centred * centred).mean(-1) + eps)
