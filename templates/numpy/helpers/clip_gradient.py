def _clip_gradient(a, bound):
    """`a`. On the way back, `_clipped` takes what arrives here."""
    return a
