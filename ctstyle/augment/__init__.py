"""Labelled slices in other grey scales, and the controls beside them."""
