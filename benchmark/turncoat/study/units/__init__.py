"""Units of a study: planned, timed and made."""
