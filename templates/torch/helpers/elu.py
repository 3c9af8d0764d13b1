def _elu(a):
    """a where a > 0, else exp(a) - 1."""
    return torch.where(a > 0, a, torch.expm1(torch.clamp(a, max=0)))
