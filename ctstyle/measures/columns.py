"""What the metric tables of a generator hold; kept apart so that tables are read without loading a network."""

TRANSFER_MEASURES = (
    "lpips_content",
    "lpips_style",
    "ssim_target",
    "hu_error_target",
    "gradient_ssim",
    "edge_f1",
    "dice_content",
    "dice_generated",
    "wasserstein_content_hu",
    "wasserstein_generated_hu",
)
"""Measured on every generated slice."""

DIVERSITY_COLUMNS = ("content_scan", "content_index", "lpips_diversity")
"""A row per content slice: how much its outputs differ."""
