def _inverse_norm(a, eps):
    """1 / sqrt(sum of squares + eps) over the last axis."""
    return torch.rsqrt((a * a).sum(-1) + eps)
