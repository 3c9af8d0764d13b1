def _layer_norm(a, eps):
    """(a - mean) / sqrt(variance + eps) over the last axis."""
    centred = a - a.mean(-1, keepdims=True)
    return centred / np.sqrt((centred * centred).mean(-1, keepdims=True) + eps)
