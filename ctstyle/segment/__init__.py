"""The U-Net that finds vertebrae."""
