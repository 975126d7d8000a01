"""Sound files to samples: decoding, streaming, resampling."""
