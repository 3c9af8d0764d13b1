def _softplus(a):
    """log(1 + exp(a)) without overflow; torch.nn.functional.softplus is a above 20, which is not exact."""
    return torch.relu(a) + torch.log1p(torch.exp(-torch.abs(a)))
