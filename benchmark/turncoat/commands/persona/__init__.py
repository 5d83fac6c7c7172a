"""Persona commands: extract a vector, show one, read shifts and half doses from rows."""
