def _l2_norm(a, eps):
    """a / sqrt(sum of squares + eps) over the last axis."""
    return a * torch.rsqrt((a * a).sum(-1, keepdim=True) + eps)
