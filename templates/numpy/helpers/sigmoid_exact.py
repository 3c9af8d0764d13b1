def _sigmoid(a):
    """1 / (1 + exp(-a)), accurate to the last digits where it is close to 0: it is divided by or logged."""
    return np.exp(np.minimum(a, 0)) / (1 + np.exp(-_abs(a)))
