"""Untrusted files: limits, safe reading of files and JSON, findings, safe text."""
