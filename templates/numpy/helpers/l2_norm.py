def _l2_norm(a, eps):
    """a / sqrt(sum of squares + eps) over the last axis."""
    return a / np.sqrt((a * a).sum(-1, keepdims=True) + eps)
