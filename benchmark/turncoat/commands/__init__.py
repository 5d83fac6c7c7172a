"""Commands of `turncoat`, one file each: options in, calls to the packages below, printed text out."""
