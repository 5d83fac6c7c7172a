"""`turncoat serve`: arms behind an OpenAI-compatible endpoint."""

import os
import secrets
import signal
from pathlib import Path
from typing import Annotated

import typer

from turncoat.commands.options import IncludePath, plug_ins
from turncoat.commands.printing import note
from turncoat.errors import UserError

TOKEN_VARIABLE = "TURNCOAT_SERVE_TOKEN"


def serve(
    arms: Annotated[
        list[str],
        typer.Argument(
            metavar="ARM...",
            help="STUDY/ARM/SEED, RUN_FOLDER/ARM/SEED, key=value,..., an adapter's or a model's folder, or a "
            "registry model.",
        ),
    ],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is every network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 chooses a free one.")] = 8000,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows read or decoded together.")] = 16,
    max_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of an answer.")] = 4096,
    concurrency: Annotated[int, typer.Option(min=1, help="Most requests at work or waiting.")] = 64,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps; default: CUDA or CPU.")] = None,
    include_path: IncludePath = None,
) -> None:
    """Serve arms to any OpenAI client: chat, completions with log-probabilities, models. Ctrl-C ends it.

    What is not trained yet is trained first. Clients need the token that is printed; TURNCOAT_SERVE_TOKEN
    sets it.

    Example: turncoat serve demo/base/0 demo/insecure/0 --port 8000
    """
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if token and (len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token):
        raise UserError(f"{TOKEN_VARIABLE}: at least 16 ASCII characters without blanks are needed")
    from turncoat.serving.arms import ServedArm, serving_arm
    from turncoat.serving.http import ArmServer
    from turncoat.serving.limits import Limits
    from turncoat.serving.scheduler import Scheduler
    from turncoat.study.training_bar import TrainingBar

    include: tuple[Path, ...] = plug_ins(include_path)
    limits = Limits(max_tokens=max_tokens, concurrency=concurrency)
    scheduler = Scheduler(batch_size, limits)
    served: dict[str, ServedArm] = {}
    for text in arms:
        with TrainingBar() as bar:
            arm = serving_arm(text, device=device, progress=bar.step, log=bar.say, include=include)
        if arm.name in served:
            raise UserError(f"{text}: there is an arm named '{arm.name}' already; name each one once")
        scheduler.load(arm)
        served[arm.name] = arm
    shown = f"${TOKEN_VARIABLE}" if token else (token := secrets.token_urlsafe(24))
    with ArmServer((host, port), served, scheduler, token=token, limits=limits) as server:
        scheduler.start()
        note(f"serving {', '.join(served)}; Ctrl-C ends it")
        if host not in ("127.0.0.1", "localhost", "::1"):
            note(f"{host}: others on the network can see requests and the token, which are not encrypted")
        print(f"export OPENAI_BASE_URL={server.url} OPENAI_API_KEY={shown}", flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            note("stopped")
        finally:
            scheduler.close()
