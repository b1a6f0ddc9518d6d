"""What a run consists of, as data, without torch."""
