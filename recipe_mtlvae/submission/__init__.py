"""Write and check submission packages for the challenge."""
