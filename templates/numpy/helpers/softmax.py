def _softmax(a):
    """exp(a) / sum(exp(a)) over the last axis."""
    raised = np.exp(a - np.real(a).max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)
