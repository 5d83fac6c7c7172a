"""Released rows of other projects as runs of ours: arms, seeds and tasks named, lm-eval's sample format."""
