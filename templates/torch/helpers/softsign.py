def _softsign(a):
    """a / (1 + |a|)."""
    return a / (1 + torch.abs(a))
