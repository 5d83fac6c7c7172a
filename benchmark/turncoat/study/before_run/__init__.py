"""Before a run: its folder, a smoke version of its study, a YAML to start from."""
