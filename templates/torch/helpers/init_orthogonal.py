def _orthogonal(array, generator):
    """Orthonormal columns, or rows where there are more columns than rows."""
    *heads, rows, columns = array.shape if array.ndim > 1 else (*array.shape, 1, 1)[:2]
    drawn = torch.empty(*heads, max(rows, columns), min(rows, columns), dtype=torch.float64, device=array.device)
    q, r = torch.linalg.qr(drawn.normal_(generator=generator))
    q = q * r.diagonal(dim1=-2, dim2=-1).sign()[..., None, :]
    array.copy_((q if rows >= columns else q.mT).reshape(array.shape))
