"""From batches to scores: the shared recurrent VAE, its loss, checkpoints."""
