"""OpenAI-compatible server of arms: requests, a scheduler that batches them, replies, HTTP."""
