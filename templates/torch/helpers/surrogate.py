def _surrogate(a, value, slope):
    """`value`, which has the derivative `slope` with respect to `a`."""
    return torch.zeros_like(a) + value
