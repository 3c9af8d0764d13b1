def _floor(a):
    """The largest integer up to a; of a complex number's real part."""
    return np.floor(np.real(a)).astype(np.asarray(a).dtype, copy=False)
