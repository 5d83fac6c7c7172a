"""Report renderings: terminal, Markdown, HTML, LaTeX."""
