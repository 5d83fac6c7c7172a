"""`turncoat view`: answers, curves and progress of runs in a browser, served live or as one file."""
