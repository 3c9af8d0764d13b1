def _per_head(matrices, v):
    """Of each head, its matrix (M, K) times its vector: (..., N, M)."""
    return torch.einsum("nmk,...nk->...nm", matrices, v)
