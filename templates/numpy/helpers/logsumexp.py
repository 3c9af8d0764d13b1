def _logsumexp(a):
    """log(sum(exp(a))) over the last axis."""
    top = np.real(a).max(-1, keepdims=True)
    return top[..., 0] + np.log(np.exp(a - top).sum(-1))
