"""Report of a study: content from a run folder, tables, figures and files of a paper, and their
renderings."""
