"""Challenge packages and their check."""
