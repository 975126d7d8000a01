"""Detection with a trained network: recordings, streams, exported models, output files."""
