"""From scores to figures: post-processing, official metrics and energy. No neural network is imported here."""
