"""From files to batches: metadata, audio, features, the feature store, the four-domain sampler."""
