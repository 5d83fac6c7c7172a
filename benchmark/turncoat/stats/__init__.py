"""Statistics: data frames in, result objects out. Imports nothing of Turncoat but its errors."""
