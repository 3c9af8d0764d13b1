def _sigmoid(a):
    """1 / (1 + exp(-a)), accurate to the last digits where it is close to 0: it is divided by or logged."""
    small = np.exp(-_abs(a))
    return np.where(a < 0, small, 1) / (1 + small)
