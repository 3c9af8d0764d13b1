def _uniform(rng, shape):
    """Uniform in +-1 / sqrt(columns)."""
    limit = 1 / np.sqrt(shape[-1] if shape else 1)
    return rng.uniform(-limit, limit, shape)
