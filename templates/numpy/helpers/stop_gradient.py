def _stop_gradient(a):
    """`a`, held still: in complex arithmetic without its imaginary part."""
    return np.real(a).astype(a.dtype, copy=False)
