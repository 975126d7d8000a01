"""Pretrained encoders, which compute embeddings from a waveform, each at its own rate."""
