"""The embedded mini corpus: sounds, rooms, soundscapes, soundbanks."""
