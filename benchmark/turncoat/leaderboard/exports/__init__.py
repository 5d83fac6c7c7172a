"""Export of an entry to the formats of other tools."""
