def _glorot(key, shape, dtype):
    """Uniform, with the variance 2 / (rows + columns) of Glorot and Bengio 2010."""
    sides = shape[-2:] or (1,)
    limit = (6 / (sides[0] + sides[-1])) ** 0.5
    return jax.random.uniform(key, shape, dtype, -limit, limit)
