"""The parts of stage 2: the scores of a split, by one or several processes, and the description of a network."""
