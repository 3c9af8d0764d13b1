def _rms_norm(a, eps):
    """a / sqrt(mean of squares + eps) over the last axis."""
    return a * torch.rsqrt((a * a).mean(-1, keepdim=True) + eps)
