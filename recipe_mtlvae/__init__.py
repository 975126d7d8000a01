"""Sound event detection with a multi-task recurrent variational autoencoder."""
