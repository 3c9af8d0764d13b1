def _inverse_std(a, eps):
    """1 / sqrt(variance + eps) over the last axis."""
    centred = a - a.mean(-1, keepdim=True)
    return torch.rsqrt((centred * centred).mean(-1) + eps)
