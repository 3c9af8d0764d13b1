def _reverse_cumsum(a):
    """Sums from each entry to the last: what np.cumsum sends back."""
    return np.cumsum(a[..., ::-1], axis=-1)[..., ::-1]
