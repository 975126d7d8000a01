"""Pretrained encoders: waveform in, embeddings at their own rates out."""
