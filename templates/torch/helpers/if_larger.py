def _if_larger(a, b, d):
    """d where a > b, half of it at a tie, else 0: what max(a, b) sends back to a."""
    half = 0.5 * d
    return half * (a > b) + half * (a >= b)
