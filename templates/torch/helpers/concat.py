def _concat(*parts):
    """Joined along the last axis; what has no leading axes is repeated over those of the others."""
    leading = torch.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return torch.cat([part.expand(*leading, part.shape[-1]) for part in parts], -1)
