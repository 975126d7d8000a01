"""What a user takes away: detections, the report, the submission package."""
