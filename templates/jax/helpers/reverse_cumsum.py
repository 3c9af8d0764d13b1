def _reverse_cumsum(a):
    """Sums from each entry to the last: what jnp.cumsum sends back."""
    return lax.cumsum(a, axis=a.ndim - 1, reverse=True)
