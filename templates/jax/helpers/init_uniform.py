def _uniform(key, shape, dtype):
    """Uniform in +-1 / sqrt(columns)."""
    limit = (shape[-1] if shape else 1) ** -0.5
    return jax.random.uniform(key, shape, dtype, -limit, limit)
