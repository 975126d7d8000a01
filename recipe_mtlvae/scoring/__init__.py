"""From scores to figures: post-processing, official metrics, energy. Imports no network."""
