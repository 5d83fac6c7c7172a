"""Finetunes at providers: jobs, and the services that take them."""
