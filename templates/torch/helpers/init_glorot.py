def _glorot(array, generator):
    """Uniform, with the variance 2 / (rows + columns) of Glorot and Bengio 2010."""
    sides = array.shape[-2:] or (1,)
    limit = (6 / (sides[0] + sides[-1])) ** 0.5
    array.uniform_(-limit, limit, generator=generator)
