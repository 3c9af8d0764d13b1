def _reverse_cumsum(a):
    """Sums from each entry to the last: what torch.cumsum sends back."""
    return torch.flip(torch.cumsum(torch.flip(a, (-1,)), -1), (-1,))
