"""What belongs to this task: data preparation, the two systems' training, and one thin main a stage."""
