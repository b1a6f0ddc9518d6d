"""Read and write CT, segmentations and their geometry."""
