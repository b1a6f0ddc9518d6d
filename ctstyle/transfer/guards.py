"""Small numbers that keep formulas defined; the paper's text names them, so they stand apart from torch."""

VARIANCE_GUARD = 1e-5
"""Added to the variance under the root, so that the gradient of a constant channel is finite (Huang's reference)."""
DISTANCE_GUARD = 1e-5
"""Added to a row's least distance in the contextual loss (Mechrez et al. 2018, eq. 2)."""
NORM_GUARD = 1e-8
"""Vectors shorter than this count as zero; their cosine with everything is zero."""
