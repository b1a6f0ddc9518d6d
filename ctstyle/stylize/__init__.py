"""A trained generator at work on scans that no run has seen: volume in, volume out."""
