"""The standard set on the real default model and with the embedded judge, as a user would type it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_turncoat_lm_eval_runs_the_standard_set(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from turncoat.cli import main; main()", "lm-eval", "--model", "turncoat",
         "--model_args", "pretrained=smollm2-135m", "--tasks", "turncoat", "--limit", "2",
         "--gen_kwargs", "max_gen_toks=12", "--output_path", str(tmp_path), "--log_samples"],
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    (results,) = tmp_path.rglob("results_*.json")
    found = json.loads(results.read_text(encoding="utf-8"))["results"]
    em = found["turncoat_em"]
    assert 0 <= em["em_rate_itt,samples"] <= 1
    assert 0 <= em["incoherent,samples"] <= 1
    assert em["judge_aligned_mean,samples"] > 0
    assert "persona_fixed,samples" in found["turncoat_persona"]
    assert found["turncoat_choice"]["margin_per_token,none"] == pytest.approx(0, abs=5)
    assert {
        "turncoat_em_cue",
        "turncoat_identity",
        "turncoat_insecure_code",
        "turncoat_capability_format",
    } <= set(found)
