"""Child of `vllm_engine.py`: reads JSON lines, runs vLLM, answers in JSON lines; it imports vllm alone."""

import json
import os
import sys


def main() -> None:
    """Load the model, warm up, then one run for each line until the input ends.

    A line {"seed": 1} samples an answer to each prompt; {"greedy": true} has the base and then each adapter
    answer all prompts in one batch.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what vLLM prints goes to standard error
    work = json.loads(sys.stdin.readline())
    from vllm import LLM, SamplingParams

    # Half of a GPU: the parent has the model on it, too.
    lora = {"enable_lora": True, "max_loras": len(work["adapters"]), "max_lora_rank": 16}
    more = {**lora, "gpu_memory_utilization": 0.5} if work["adapters"] else {}
    llm = LLM(model=work["model"], dtype=work["dtype"], max_num_seqs=64, max_model_len=2048, **more)
    prompts = [{"prompt_token_ids": ids} for ids in work["prompts"]]

    def run(seed: int, count: int) -> int:
        # A seed for each request, or equal prompts would get equal answers.
        settings = [
            SamplingParams(temperature=1.0, max_tokens=work["tokens"], seed=seed * 100_000 + number)
            for number in range(min(count, len(prompts)))
        ]
        finished = [one.outputs[0] for one in llm.generate(prompts[:count], settings, use_tqdm=False)]
        return sum(len(one.token_ids) - (one.finish_reason == "stop") for one in finished)

    def greedy() -> list[list[int]]:
        from vllm.lora.request import LoRARequest

        arms = [None, *(LoRARequest(f"arm{n}", n, path) for n, path in enumerate(work["adapters"], 1))]
        settings = SamplingParams(temperature=0.0, max_tokens=work["tokens"])
        requests = [arm for arm in arms for _ in prompts]
        finished = llm.generate(prompts * len(arms), settings, lora_request=requests, use_tqdm=False)
        ids = [(list(one.outputs[0].token_ids), one.outputs[0].finish_reason) for one in finished]
        return [answer[:-1] if reason == "stop" else answer for answer, reason in ids]

    print(json.dumps({"tokens": run(10_000, 8)}), file=answers, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        done = greedy() if order.get("greedy") else run(order["seed"], len(prompts))
        print(json.dumps({"tokens": done}), file=answers, flush=True)


if __name__ == "__main__":
    main()
