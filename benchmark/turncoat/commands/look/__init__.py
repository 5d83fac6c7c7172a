"""Commands that show something: runs, reports, names, tables, claims."""
