"""Stage 1's parts: what trains each system, how a run is spread, resumed and ended, how its best epoch is found."""
