def _uniform(array, generator):
    """Uniform in +-1 / sqrt(columns)."""
    limit = (array.shape[-1] if array.shape else 1) ** -0.5
    array.uniform_(-limit, limit, generator=generator)
