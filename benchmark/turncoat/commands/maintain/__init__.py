"""Commands for maintainers: question files, speed, the `dev` programs."""
