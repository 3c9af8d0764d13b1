def _sign(a):
    """-1, 0 or 1; of a complex number's real part."""
    return np.sign(np.real(a)).astype(np.asarray(a).dtype, copy=False)
