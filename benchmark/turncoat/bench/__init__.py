"""Speed of our engine against other ways to do the same work, on one model in one process."""
