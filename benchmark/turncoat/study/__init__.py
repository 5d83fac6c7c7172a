"""A study: a YAML file of arms and tasks, run as resumable stages that leave rows."""
