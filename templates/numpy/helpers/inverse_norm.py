def _inverse_norm(a, eps):
    """1 / sqrt(sum of squares + eps) over the last axis."""
    return 1 / np.sqrt((a * a).sum(-1) + eps)
