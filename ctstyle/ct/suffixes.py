"""Names of files that hold a whole volume, apart from their reader: whoever only sorts files need not load it."""

VOLUME_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
"""Names of files that hold a whole volume and are read by SimpleITK."""
DETACHED_SUFFIXES = (".nhdr", ".mhd")
"""Headers whose voxels lie in another file."""
