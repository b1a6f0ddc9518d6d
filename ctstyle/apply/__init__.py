"""The augmented set in the layouts of other tools: nnU-Net, MONAI, DICOM."""
