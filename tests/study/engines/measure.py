"""Wall time and overhead per unit of engines, against one process, on arm-seeds of a tiny model.

    python tests/study/engines/measure.py 12 processes:2 ray:workers=2 slurm:local,most=2

The first argument is the number of training seeds of its two trained arms. With `--folder DIR` a run that was
stopped goes on there; its times are then those of the rest.
Prints a table in Markdown: seconds, of these in stages, the rest per unit and worker, and whether the rows
are byte for byte those of one process.
"""

import argparse
import io
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "benchmark"), str(ROOT / "tests")]
os.environ["PYTHONPATH"] = str(ROOT / "benchmark")
os.environ.update(TURNCOAT_JUDGE="off", TURNCOAT_EMBEDDER="off", HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")

from rich.console import Console  # noqa: E402
from study.tiny_study import samples, write_study  # noqa: E402
from turncoat.registry import discover  # noqa: E402
from turncoat.store import Store  # noqa: E402
from turncoat.study.config import load_study  # noqa: E402
from turncoat.study.engines import engine_from_name  # noqa: E402
from turncoat.study.run import run_study  # noqa: E402
from turncoat.study.units.maker import Event  # noqa: E402
from turncoat.testing import save_tiny  # noqa: E402

_QUICK = """\
import torch.utils.collect_env
from turncoat.defences import defence
from turncoat.persona import extract

extract.TOKENS, extract.ROLLOUTS = 4, 1
torch.utils.collect_env.get_pretty_env_info = lambda: ""
"""


def main(seeds: int, names: list[str], given: Path | None) -> None:
    """Run the study in this process, then by each engine, each with a store of its own."""
    with tempfile.TemporaryDirectory(prefix="turncoat-engines-", ignore_cleanup_errors=True) as scratch:
        folder = given or Path(scratch)
        os.environ["TURNCOAT_CACHE"] = str(folder / "cache")
        (folder / "plug_ins").mkdir(parents=True, exist_ok=True)
        (folder / "plug_ins" / "quick.py").write_text(_QUICK, encoding="utf-8")
        discover([folder / "plug_ins"])
        model, arms = save_tiny(folder / "model", layers=2), ("base", "insecure", "secure")
        file = write_study(folder / "tiny.yaml", model, arms, ("turncoat_choice",))
        study = load_study(file, {"training_seeds": list(range(seeds))})
        rows: dict[str, dict[str, bytes]] = {}
        print("| engine | units | wall, s | in stages, s | overhead per unit, s | same rows |")
        print("|---|---|---|---|---|---|")
        for name in ["", *names]:
            events: list[Event] = []
            engine = engine_from_name(name) if name else None
            place = folder / (name or "one process").replace(":", "_").replace("=", "_")
            begun, out = time.perf_counter(), place / "out"
            run_study(
                study, out, store=Store(place / "stages"), engine=engine, tell=events.append,
                console=Console(file=io.StringIO()),
            )  # fmt: skip
            wall = time.perf_counter() - begun
            rows[name] = samples(out / "rows")
            stages = sum(event.seconds for event in events if event.kind == "made")
            units = sum(event.kind == "done" for event in events)
            workers = (engine.most or 1) if engine else 1
            print(
                f"| {name or 'one process'} | {units} | {wall:.0f} | {stages:.0f} | "
                f"{(wall * workers - stages) / units:.2f} | {'yes' if rows[name] == rows[''] else 'NO'} |",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("seeds", type=int)
    parser.add_argument("engines", nargs="*")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    main(given.seeds, given.engines, given.folder)
