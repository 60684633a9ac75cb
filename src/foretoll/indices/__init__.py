"""Indices of shift and recoverability: one file per index, a pure function and its mergeable accumulator."""
