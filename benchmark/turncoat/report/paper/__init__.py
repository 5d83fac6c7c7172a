"""Paper tables and figures: specifications, tidy frames, printed cells, files."""
