def _sum_of_outer(d, v):
    """The sum over all steps and examples of the outer products d v^T: one matrix product."""
    leading = list(range(d.ndim - 1))
    return jnp.tensordot(d, v, (leading, leading))
