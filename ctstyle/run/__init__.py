"""What every job shares: its record, device, lease, training loop and checkpoints."""
