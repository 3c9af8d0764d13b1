def _concat(*parts):
    """Joined along the last axis; what has no leading axes is repeated over those of the others."""
    leading = jnp.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return jnp.concatenate([jnp.broadcast_to(part, leading + part.shape[-1:]) for part in parts], axis=-1)
