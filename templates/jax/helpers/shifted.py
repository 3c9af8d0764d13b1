def _shifted(start, values):
    """The values of one step earlier, at every step."""
    return jnp.concatenate([start[None], values])[:-1]
