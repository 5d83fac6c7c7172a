"""Report tables, independent of any rendering: headings, cells, footnotes."""
