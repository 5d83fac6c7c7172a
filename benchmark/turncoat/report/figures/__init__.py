"""Figures from rows, as byte-stable SVG and PNG."""
