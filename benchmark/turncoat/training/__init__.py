"""LoRA finetuning of organisms and defences: examples in, one PEFT folder out."""
