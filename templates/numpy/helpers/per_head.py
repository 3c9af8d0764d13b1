def _per_head(matrices, v):
    """Of each head, its matrix (M, K) times its vector: (..., N, M)."""
    rows = v.reshape(-1, *v.shape[-2:]).swapaxes(0, 1)
    return (rows @ matrices.swapaxes(1, 2)).swapaxes(0, 1).reshape(*v.shape[:-1], matrices.shape[1])
