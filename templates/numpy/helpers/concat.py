def _concat(*parts):
    """Joined along the last axis; what has no leading axes is repeated over those of the others."""
    leading = np.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return np.concatenate([np.broadcast_to(part, leading + part.shape[-1:]) for part in parts], axis=-1)
