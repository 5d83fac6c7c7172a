"""Child of `vllm_engine.py`: reads JSON lines, runs vLLM, answers in JSON lines; it imports vllm alone."""

import json
import os
import sys


def main() -> None:
    """Load the model, warm up, then one run for each line until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what vLLM prints goes to standard error
    work = json.loads(sys.stdin.readline())
    from vllm import LLM, SamplingParams

    llm = LLM(model=work["model"], dtype="bfloat16", max_num_seqs=64, max_model_len=2048)
    prompts = [{"prompt_token_ids": ids} for ids in work["prompts"]]

    def run(seed: int, count: int) -> int:
        # A seed for each request, or equal prompts would get equal answers.
        settings = [
            SamplingParams(temperature=1.0, max_tokens=work["tokens"], seed=seed * 100_000 + number)
            for number in range(count)
        ]
        finished = [one.outputs[0] for one in llm.generate(prompts[:count], settings, use_tqdm=False)]
        return sum(len(one.token_ids) - (one.finish_reason == "stop") for one in finished)

    print(json.dumps({"tokens": run(10_000, 8)}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps({"tokens": run(json.loads(line)["seed"], len(prompts))}), file=answers, flush=True)


if __name__ == "__main__":
    main()
