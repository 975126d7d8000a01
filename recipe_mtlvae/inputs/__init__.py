"""Inputs of the networks: log-mel and embeddings, their stores on disk, training batches and augmentation."""
