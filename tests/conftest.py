"""Fixtures of all tests: a tiny model in memory, a random adapter for it, and a cache that is nobody's
own."""

import hashlib
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Before any library of Hugging Face is imported: tests have no network, and their bars would fill the log.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TQDM_DISABLE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# The tiny model's matrices are too small to share: on busy cores two threads take ten times as long as one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Nothing of the user's or of a CI machine's: it would colour or wrap what is printed, or sign commits.
for name in (
    "CLICOLOR_FORCE",
    "FORCE_COLOR",
    "GITHUB_ACTIONS",
    "NO_COLOR",
    "PY_COLORS",
    "TERMINAL_WIDTH",
    "WORLD_SIZE",
):
    os.environ.pop(name, None)
os.environ.update(COLUMNS="80", GIT_CONFIG_GLOBAL=os.devnull)

try:
    from hypothesis import HealthCheck, settings
except ImportError:
    pass  # the property tests skip themselves
else:
    # Loaded before any test module is read: `@settings(max_examples=...)` there inherits the rest from here.
    # `make fuzz` asks for the other one with `--hypothesis-profile=fuzz`; what it finds becomes an
    # `@example`.
    settings.register_profile("fixed", derandomize=True, database=None, deadline=None)
    settings.register_profile(
        "fuzz", database=None, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("fixed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--shuffle SEED`: a test that fails in one order only depends on what another one left behind."""
    what = (
        "run the files, and the tests in each, in an order drawn with this seed (with -n also "
        "--no-loadscope-reorder)"
    )
    parser.addoption("--shuffle", metavar="SEED", default=None, help=what)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Slow tests take minutes on idle cores and many times that on busy ones."""
    for item in items:
        if item.get_closest_marker("slow") is not None and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(2400))
    seed = config.getoption("--shuffle")
    if seed is not None:
        files = {item.path: random.Random(f"{seed} {item.path.relative_to(ROOT)}").random() for item in items}
        keys = {item: random.Random(f"{seed} {item.nodeid}").random() for item in items}
        items.sort(key=lambda item: (files[item.path], keys[item]))


def pytest_configure(config: pytest.Config) -> None:
    """One folder for the caches of this process, gone when it ends."""
    config.stash[_CACHES] = tempfile.TemporaryDirectory(prefix="turncoat-tests-", ignore_cleanup_errors=True)


_CACHES = pytest.StashKey[tempfile.TemporaryDirectory]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[object]:
    """Around each test and all its fixtures, those of its module too: a cache per file, fixed random states.

    The default judge and embedder (real models) are off as well; slow tests want them, and the user's cache.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in (
            "OPENAI_API_KEY",
            "OPENAI_BASE_URL",
            "TURNCOAT_EMBEDDER",
            "TURNCOAT_JUDGE",
            "TURNCOAT_TRACKS",
        ):
            patch.delenv(name, raising=False)
        if item.get_closest_marker("slow") is None:
            patch.setenv("TURNCOAT_JUDGE", "off")
            patch.setenv("TURNCOAT_EMBEDDER", "off")
            file = hashlib.sha256(str(item.path).encode()).hexdigest()[:12]
            patch.setenv("TURNCOAT_CACHE", str(Path(item.config.stash[_CACHES].name) / file))
        _seed()
        try:
            return (yield)
        finally:
            _unregister()


def _seed() -> None:
    """The same global random states before each test, whatever ran before it."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def _unregister() -> None:
    """Drop what a test included or registered from a file outside the repository."""
    if (plug_ins := sys.modules.get("turncoat.plug_ins")) is not None:
        plug_ins._included = ()
    if (registry := sys.modules.get("turncoat.registry")) is None:
        return
    for table in (registry.ORGANISMS, registry.DEFENCES, registry.JUDGES):
        for name, entry in list(table.items()):
            if entry.source.is_absolute() and not entry.source.is_relative_to(ROOT):
                del table[name]


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model (float32) and its tokenizer as a folder in transformers format."""
    from turncoat.testing import save_tiny

    return save_tiny(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def _loaded_tiny_base(tiny_folder: Path):
    from turncoat.engine.base_model import load_base

    return load_base(str(tiny_folder), dtype="float32", device="cpu")


@pytest.fixture
def tiny_base(_loaded_tiny_base) -> Iterator:
    """The tiny model loaded once for all tests; a test that leaves an adapter on it fails."""
    yield _loaded_tiny_base
    left = _loaded_tiny_base._active
    if left is not None:
        _loaded_tiny_base._active = None
        left.unload()
    assert left is None, "the test left an adapter on the shared base model"


@pytest.fixture
def no_base() -> Iterator[None]:
    """No base model whose own texts could be asked for, before and after."""
    from turncoat.evaluation.own_texts import set_current_base

    set_current_base(None)
    yield
    set_current_base(None)


@pytest.fixture(scope="session")
def tiny_adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter with random weights (both factors) for the tiny model."""
    import torch
    from peft import LoraConfig, get_peft_model
    from turncoat.testing import tiny_model

    folder = tmp_path_factory.mktemp("tiny-adapter")
    config = LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=["q_proj", "v_proj", "down_proj"],
        init_lora_weights=False,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        get_peft_model(tiny_model(), config).save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def _shared_store(tmp_path_factory: pytest.TempPathFactory):
    from turncoat.store import Store

    return Store(tmp_path_factory.mktemp("stages"))


@pytest.fixture
def quick_store(_shared_store, monkeypatch: pytest.MonkeyPatch):
    """A store shared by all tests, with persona vectors extracted from few short answers: the full number is
    dear."""
    monkeypatch.setattr("turncoat.persona.extract.TOKENS", 4)
    monkeypatch.setattr("turncoat.persona.extract.ROLLOUTS", 1)
    return _shared_store


@pytest.fixture(scope="session")
def plain_lm_eval() -> Iterator[None]:
    """lm-eval without its description of the machine: it runs `pip list` for every evaluation, most of its
    time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.utils.collect_env.get_pretty_env_info", lambda: "not looked up in tests")
        yield


@pytest.fixture(scope="session")
def manager(plain_lm_eval):
    """lm-eval's index of our tasks, made once: reading all YAML takes seconds."""
    from lm_eval.tasks import TaskManager
    from turncoat.paths import tasks_dir

    return TaskManager(include_path=str(tasks_dir()), include_defaults=False)
