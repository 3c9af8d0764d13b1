def _surrogate(a, value, slope):
    """`value`, which has the derivative `slope` with respect to `a`, and none with respect to anything else."""
    held = a.detach()
    nothing = torch.zeros_like(held)
    return (nothing + value).detach() + (nothing + slope).detach() * (a - held)
