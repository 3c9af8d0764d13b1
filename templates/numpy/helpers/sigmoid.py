def _sigmoid(a):
    """1 / (1 + exp(-a)), by way of tanh: no overflow, and the fastest in NumPy."""
    return 0.5 * np.tanh(0.5 * a) + 0.5
