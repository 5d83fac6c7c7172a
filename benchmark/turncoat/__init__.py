"""Turncoat: does narrow finetuning turn a model against its users, and which defence stops it?"""

from __future__ import annotations

import os

# Waiting OpenMP threads spin by default; with any other busy process on the machine that slows training five
# to ten times. The variable is read when torch loads, so it is set before anything here can import torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Threads that sleep at once make the many small products of an adapter slow, too: a short spin before
# sleeping doubles decoding with an adapter on two idle cores (95 to 193 tokens a second), and costs a factor
# of two, not ten, on busy ones.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
# The Rust tokenizers warn on every fork otherwise; nothing here tokenizes before a fork.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

__version__ = "0.1.0"
