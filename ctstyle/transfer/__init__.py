"""The style-transfer generator: AdaIN, decoder, losses, training and application."""
