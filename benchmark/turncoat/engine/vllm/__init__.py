"""vLLM as the engine of sampled answers, in a process with a Python of its own."""
