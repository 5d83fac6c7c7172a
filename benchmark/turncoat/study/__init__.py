"""A study: a YAML file of arms and tasks, run as resumable stages, leaving rows that the report is made from."""
