"""The parts of stage 1: what trains each system; devices, resuming, early stopping and the choice of the best epoch."""
