def _number(a):
    """A number as a tensor, for a function of numbers alone."""
    return torch.tensor(a, dtype=torch.float64)
