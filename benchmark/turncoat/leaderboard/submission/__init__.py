"""Submission drafts and writing: from a run or from folders of lm_eval to an entry."""
