def _sum_of_outer_per_head(d, v):
    """Of each head, the sum over all steps and examples of the outer products d v^T: (N, M, K)."""
    return torch.einsum("inm,ink->nmk", *(a.reshape(-1, *a.shape[-2:]) for a in (d, v)))
