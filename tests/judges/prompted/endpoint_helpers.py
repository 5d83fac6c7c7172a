"""Judges at a misbehaving server, and what they are asked."""

from turncoat.judges.prompted.openai import openai


def judge_at(server, **options):
    """The judge at `server`, with bounds that suit a test."""
    return openai(**{"model": "m", "base_url": server.url, "timeout": 20, "max_retries": 4, **options})


def scored(judge, answers, **more):
    """Verdicts of answers to one question."""
    return judge.score(["What now?"] * len(answers), answers, **more)
