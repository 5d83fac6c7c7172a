"""vLLM as the engine of sampled answers and log-likelihoods, in a process with a Python of its own."""
