"""Export of an arm for other programs: PEFT adapter, merged weights, steering as an adapter."""
