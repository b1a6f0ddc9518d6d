"""What is measured, and in which direction it is better."""
