"""Pages and pictures: comparison, data report, summary of detections."""
