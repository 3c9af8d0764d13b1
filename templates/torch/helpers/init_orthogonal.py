def _orthogonal(array, generator):
    """Orthonormal columns, or rows where there are more columns than rows."""
    rows, columns = (*array.shape, 1, 1)[:2]
    drawn = torch.empty(max(rows, columns), min(rows, columns), dtype=torch.float64, device=array.device)
    q, r = torch.linalg.qr(drawn.normal_(generator=generator))
    q = q * r.diagonal().sign()
    array.copy_((q if rows >= columns else q.T).reshape(array.shape))
