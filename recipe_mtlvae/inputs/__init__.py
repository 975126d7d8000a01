"""What the networks see: log-mel features, their store, batches."""
