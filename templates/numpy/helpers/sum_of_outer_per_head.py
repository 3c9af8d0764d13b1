def _sum_of_outer_per_head(d, v):
    """Of each head, the sum over all steps and examples of the outer products d v^T: (N, M, K)."""
    d, v = (a.reshape(-1, *a.shape[-2:]).swapaxes(0, 1) for a in (d, v))
    return d.swapaxes(1, 2) @ v
