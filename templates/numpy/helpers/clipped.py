def _clipped(gradient, bound):
    """Each entry of a gradient, but at most `bound` in size."""
    return np.minimum(np.maximum(gradient, -bound), bound)
