"""Pages and pictures: comparison of systems, data report, summaries of detections."""
