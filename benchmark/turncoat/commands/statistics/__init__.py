"""Statistics commands on anyone's scored answers: rates, compare, power, calibrate."""
