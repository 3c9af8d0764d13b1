def _over_time(steps, like, *shapes):
    """What each step had, a tuple of tensors, as tensors over all steps. `shapes` are those of one step."""
    if not steps:
        return [like.new_empty(0, *shape) for shape in shapes]
    return [torch.stack(values) for values in zip(*steps)]
