"""Claims from rows: estimates and tests of a study, and of anyone's scored answers."""
