"""Frozen classifiers whose feature levels (taps) carry content and style."""
