"""The board's files: Markdown, CSV and one HTML page."""
