"""Commands for use with other tools: lm_eval, packed runs, rows that others released."""
