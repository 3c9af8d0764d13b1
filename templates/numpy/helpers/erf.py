def _erf(a):
    """The error function; of a complex number to first order in its imaginary part, as complex steps need."""
    from math import erf

    real = np.real(a)
    value = np.asarray(np.frompyfunc(erf, 1, 1)(real), real.dtype)
    return value + 1j * (np.imag(a) * 1.1283791670955126 * np.exp(-(real**2))) if np.iscomplexobj(a) else value
