"""From data to the batches of a training step."""
