"""The answer browser that reports, the board and `turncoat view` share: data, script, style, page parts."""
