def _layer_norm(a, eps):
    """(a - mean) / sqrt(variance + eps) over the last axis."""
    centred = a - a.mean(-1, keepdim=True)
    return centred * torch.rsqrt((centred * centred).mean(-1, keepdim=True) + eps)
