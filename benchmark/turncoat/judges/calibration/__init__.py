"""Agreement of judges: calibration cards, rank agreement, rates corrected for judge errors."""
