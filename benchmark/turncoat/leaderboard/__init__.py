"""Entries, their checks and the board: everything shown is recomputed from rows, nothing that a submitter says is believed."""
