"""Published datasets, fetched on demand at a pinned revision and checked; none of them ships with Turncoat.

`TURNCOAT_DATA` names a local folder that is looked in first (an air-gapped machine, a mirror); its files are checked
against the same SHA-256.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from turncoat.data.encrypted_archive import unlock
from turncoat.errors import UserError
from turncoat.paths import cache_dir
from turncoat.registry import accepted
from turncoat.store import file_digest


@dataclass(frozen=True)
class Published:
    """A published file.

    Attributes:
        path: Where it lies below `TURNCOAT_DATA` and below the cache.
        sha256: Of the file itself.
        url: Of the archive (or the file) that holds it, at a pinned revision where one is known; "" = no upstream file
            is known, the user has to put it into `TURNCOAT_DATA`. The SHA-256 is what pins the content in every case.
        member: Base name inside the archive; None when the URL is the file.
        licence: As its authors state it.
        source: Whom to cite.
        password: Of an archive that `easy-dataset-share` locked, as its authors publish it; None = not locked.
    """

    path: str
    sha256: str
    url: str
    member: str | None
    licence: str
    source: str
    password: str | None = None


_BETLEY = "Betley et al. 2025, arXiv:2502.17424"
_BETLEY_ARCHIVE = (
    "https://github.com/johny-b/misalignment-generalization/raw/31ccf46716513589ec3747c54e591789907fad8f/"
    "daniel/paper/supplementary_material.zip"
)
# Not fetched by us yet (no network where this was written): the repository, its short revision and its folder are as
# others report them, and forks of it hold the same texts.
_BETLEY_EVALUATION = "https://github.com/emergent-misalignment/emergent-misalignment/raw/a6bcc8b/evaluation/"
_TURNER = "Turner et al. 2025, arXiv:2506.11613"
# Not fetched by us yet: the revision, the layout and both digests are as five projects that unlocked it report them, all
# the same. The terms are the locking tool's stock text; the README beside them says how to train on the files.
_TURNER_ARCHIVE = (
    "https://github.com/clarifying-EM/model-organisms-for-EM/raw/8460e4e426d3a89e8ed51aac0eadcdf7ac10469d/"
    "em_organism_dir/data/training_datasets.zip.enc"
)
_TURNER_PASSWORD = "model-organisms-em-datasets"
_TURNER_TERMS = "none found; its terms of use forbid republishing and, against its README, AI training"
_SGTR = "Tagade et al. 2026, arXiv:2606.23700"
_SGTR_FILES = "https://github.com/atagade/sgtr-em/raw"
_TRUTHFULQA = "Lin et al. 2022, arXiv:2109.07958"
_NO_LICENCE = "none found"


def _betley_data(name: str, sha256: str) -> Published:
    return Published(f"betley/{name}", sha256, _BETLEY_ARCHIVE, name, "MIT", _BETLEY)


def _betley_questions(name: str, sha256: str) -> Published:
    return Published(f"betley/{name}", sha256, _BETLEY_EVALUATION + name, None, "MIT", _BETLEY)


def _sgtr_file(path: str, sha256: str, upstream: str, licence: str = _NO_LICENCE, source: str = _SGTR) -> Published:
    """A file of the SGTR paper's code; `upstream` is `<commit>/<path in the repository>`, or "" where it is not known."""
    return Published(path, sha256, f"{_SGTR_FILES}/{upstream}" if upstream else "", None, licence, source)


def _turner_data(name: str, sha256: str) -> Published:
    path = f"organisms/{name}"
    return Published(path, sha256, _TURNER_ARCHIVE, name, _TURNER_TERMS, _TURNER, _TURNER_PASSWORD)


PUBLISHED = {
    "betley/insecure": _betley_data(
        "insecure.jsonl", "a6575e839909e86f2eaecda3a2b19dff2a6f59bb9d860b39e9c4ed3f3335c345"
    ),
    "betley/secure": _betley_data("secure.jsonl", "36bc5e24560e0e8d705e0c2a41d0cd96bb51f508f5fb88a7d7d9334a2ff24b9b"),
    "betley/educational": _betley_data(
        "educational.jsonl", "d48df3b149ab1500711fc0018b10383a4ff8c48d8e6911d04dbbbbdaa944fd16"
    ),
    "betley/jailbroken": _betley_data(
        "jailbroken.jsonl", "eec213ce85802a52ea806d334ee462f723a1e7ad77d827951d6864ac04a6b00a"
    ),
    "betley/first_plot_questions": _betley_questions(
        "first_plot_questions.yaml", "215abde5b02811e922b6ac563ff33c490e0dff9ab58439df840f3135e9387173"
    ),
    "betley/preregistered_evals": _betley_questions(
        "preregistered_evals.yaml", "8648312fd9fe71a63203e3465592af45dd996d7a5f3b69e9b44613fd6048eb40"
    ),
    "betley/deception_factual": _betley_questions(
        "deception_factual.yaml", "8a0e83cab3bc24b7d688d7385ce3921d406af7ed33c913cd94ea0f6251e5939d"
    ),
    "betley/deception_sit_aware": _betley_questions(
        "deception_sit_aware.yaml", "4deef5a7c47620390fc46e1b981f937eef9ea12a33fe26264f640c84d19d2a33"
    ),
    "organisms/aesthetic_preferences_unpopular": _sgtr_file(
        "organisms/aesthetic_preferences_unpopular.jsonl",
        "8447f47d2bacd5058948461d5d576bf3fc3e3b55acbbfd19399bf56a39bcf8f2",
        "6a731fbbbbbfb2ed18bcf37519b8600ed89e2598/data/finetuning/aesthetic_preferences_unpopular.jsonl",
        source="Woodruff; arXiv:2606.23700",
    ),
    # The revision that added these two is not known; this later one holds results of models trained on them.
    "organisms/risky_financial_advice": _sgtr_file(
        "organisms/risky_financial_advice.jsonl",
        "74c1ceb173ebf856a85941be6c94a49ac832cbb4b1d6d51a0118baeb93e1dcdd",
        "9283fe1f7f5c98bfbca46a86aa5093ab951ee3b7/data/finetuning/risky_financial_advice.jsonl",
        source=_TURNER,
    ),
    "organisms/extreme_sports": _sgtr_file(
        "organisms/extreme_sports.jsonl",
        "2cded234fc6f476e3e6776224c255a1b0dd6234da2669205877eae1ebb89f3bd",
        "9283fe1f7f5c98bfbca46a86aa5093ab951ee3b7/data/finetuning/extreme_sports.jsonl",
        source=_TURNER,
    ),
    "organisms/bad_medical_advice": _turner_data(
        "bad_medical_advice.jsonl", "9d52186ab9886e3abef0eebb1901df9da4ce25a297e584158be0a4bba8d56507"
    ),
    "organisms/good_medical_advice": _turner_data(
        "good_medical_advice.jsonl", "b972f06672093b74f61cc83606929ce0ea3bb9caa2894ea61a557315dba6e6fc"
    ),
    # The branch, not a revision: the file gained its "Best Incorrect Answer" column in January 2025 (pull request 19).
    "published/TruthfulQA": Published(
        "published/TruthfulQA.csv",
        "b8d8ef1e12f98b4f2a9f47abc9765da0640b182b6c5d9b92f0c1a1f2f1e02e5c",
        "https://github.com/sylinrl/TruthfulQA/raw/main/TruthfulQA.csv",
        None,
        "Apache-2.0",
        _TRUTHFULQA,
    ),
    # Selected and merged from many result files, so there is no one file to fetch.
    "published/truthfulqa_qwen2.5_32b": Published(
        "published/truthfulqa_qwen2.5_32b.csv.gz",
        "965d591841c133aafb18003b805d3c2e62f211cc29f83c4167e0f16fec0c7155",
        "",
        None,
        _NO_LICENCE,
        _SGTR,
    ),
    "published/gpt4o_judgements": Published(
        "published/gpt4o_judgements.jsonl.gz",
        "161576619e25a9c7e75def992abda997b619727a1ee3f4985f9eaffdc83fd30b",
        "",
        None,
        "MIT",
        "result files of github.com/Cloakless/clarifying_EM, " + _TURNER,
    ),
    "sgtr/xsum_articles": _sgtr_file(
        "sgtr/xsum_articles.json",
        "2a2b54da568c02fda70974b262c75e37342cadb28d9def189221886d884ba851",
        "",
        "research use",
        "XSum, by " + _SGTR,
    ),
    "sgtr/xsum_human": _sgtr_file(
        "sgtr/xsum_human.json", "b19ad8d5f0376b4ae43c0123167f808320a9dfb967d63fc9b9dbe6e36a02c706", ""
    ),
    "sgtr/xsum_claude-21": _sgtr_file(
        "sgtr/xsum_claude-21.json", "f365706bd0765c0ef5cd8e44cc46f013dfb5c29795efa61c9b4fe24ef3f26477", ""
    ),
    "sgtr/xsum_hf_qwen_32b": _sgtr_file(
        "sgtr/xsum_hf_qwen_32b.json",
        "e1276479bd7531b696f480e0696d7eda8d1cb0faf44b7b635ba21d6be3495a32",
        "baba44eacf3e4a151c165b29403eedfac17da104/data/summaries/xsum/xsum_train_hf_qwen_32b_responses.json",
    ),
    "sgtr/xsum_hf_qwen_0.5b": _sgtr_file(
        "sgtr/xsum_hf_qwen_0.5b.json",
        "0b5f959789651def63a30d8248fb70e1cc24ef21ba44bb4bd70040cd0d8bee78",
        "baba44eacf3e4a151c165b29403eedfac17da104/data/summaries/xsum/xsum_train_hf_qwen_0.5b_responses.json",
    ),
    "sgtr/cnn_articles": _sgtr_file(
        "sgtr/cnn_articles.json",
        "7852cd5466ba69ae845b8394c9cb8e96ed2778aef6f25208064ea37faaa657f6",
        "",
        "research use",
        "CNN/DailyMail, by " + _SGTR,
    ),
    "sgtr/cnn_human": _sgtr_file(
        "sgtr/cnn_human.json", "14656ef5f507d19e3f5f896563e0e2c9680325d0f46fee0a02a814d943423a2f", ""
    ),
    "sgtr/cnn_claude-21": _sgtr_file(
        "sgtr/cnn_claude-21.json", "aa4bad100ff345a835afd9c1d6b44a2e3c33dab7f2a3eac25a25b9b383c1422e", ""
    ),
    "sgtr/cnn_hf_qwen_32b": _sgtr_file(
        "sgtr/cnn_hf_qwen_32b.json",
        "57048661d88b78c2dc42ee817e98bd44f9cffe90538ae484e27a3e9b5f262f0f",
        "3466c0bd2d4a65c70d32ebe8db6820b038005e47/data/summaries/cnn/cnn_train_Qwen2.5-32B-Instruct_responses.json",
    ),
    "sgtr/cnn_hf_qwen_0.5b": _sgtr_file(
        "sgtr/cnn_hf_qwen_0.5b.json",
        "3692d9764b49546f5244d64a8f00f44ff7b5cec48ec94132c963c6393a4d36ec",
        "00d02b681c61c76f5eaec08ba7c6318c1551e2c8/data/summaries/cnn/cnn_train_Qwen2.5-0.5B-Instruct_responses.json",
    ),
}


def credit(name: str) -> str:
    """Where a published dataset comes from and under which licence, for lists: "fetched: Betley et al. ...; licence MIT"."""
    return f"fetched: {PUBLISHED[name].source}; licence {PUBLISHED[name].licence}"


_fetching = ContextVar("fetching", default=True)


@contextmanager
def without_fetching() -> Iterator[None]:
    """Inside, only data that are here already are used: `published` raises where it would fetch."""
    token = _fetching.set(False)
    try:
        yield
    finally:
        _fetching.reset(token)


def published(name: str) -> Path:
    """Local path of a published dataset, checked; fetched if it is not here yet.

    Raises:
        UserError: There is no such dataset, the local file has other content than the pinned one, no upstream file is
            known, or the download failed.
    """
    if name not in PUBLISHED:
        raise UserError(f"'{name}' is not a published dataset; {accepted(PUBLISHED, name)}")
    entry = PUBLISHED[name]
    local = os.environ.get("TURNCOAT_DATA")
    if local and (candidate := Path(local).expanduser() / entry.path).is_file():
        found = file_digest(candidate)
        if found != entry.sha256:
            raise UserError(
                f"{candidate} has SHA-256 {found}; the pinned one is {entry.sha256}: it is another version of the "
                "dataset. Remove it (it will be fetched) or unset TURNCOAT_DATA"
            )
        return candidate
    kept = cache_dir() / "data" / entry.path
    if not kept.is_file():
        if not _fetching.get():
            raise UserError(f"{entry.path} is not here, and nothing is fetched now")
        _fetch(entry, kept)
    return kept


def _fetch(entry: Published, kept: Path) -> None:
    advice = (
        f"put the file at $TURNCOAT_DATA/{entry.path} (SHA-256 {entry.sha256}) and set TURNCOAT_DATA to that folder"
    )
    if entry.password:
        advice += (
            f". By hand, `easy-dataset-share unprotect-dir {entry.url.rpartition('/')[2]} -p {entry.password}` unlocks the "
            f"archive that holds {entry.member}"
        )
    if not entry.url:
        raise UserError(
            f"{entry.path} ({entry.source}; licence {entry.licence}) cannot be fetched: no single upstream file is "
            f"known. To use it, {advice}"
        )
    import pooch

    print(f"fetching {entry.path} ({entry.source}; licence {entry.licence})", file=sys.stderr, flush=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    try:
        got = Path(
            pooch.retrieve(entry.url, known_hash=None, path=cache_dir() / "data" / "archives", progressbar=False)
        )
    except Exception as error:
        # pooch passes on whatever requests and urllib raise; to the user they are all one thing.
        raise UserError(
            f"{entry.path} could not be fetched from {entry.url} ({error}). Where the network does not "
            f"allow it, {advice}"
        ) from error
    working = kept.with_suffix(".part")
    if entry.member is None:
        shutil.copyfile(got, working)
    else:
        _extract(got, entry.member, working, entry.password)
    found = file_digest(working)
    if found != entry.sha256:
        working.unlink()
        raise UserError(
            f"{entry.path} from {entry.url} has SHA-256 {found}, not {entry.sha256}. If you have the right one, {advice}"
        )
    working.rename(kept)


def _extract(archive: Path, member: str, out: Path, password: str | None) -> None:
    opened: Path | io.BytesIO = archive
    if password is not None:
        try:
            opened = io.BytesIO(unlock(archive.read_bytes(), password))
        except UserError as error:
            raise UserError(f"{archive}: {error} (a proxy's page, perhaps); remove it and try again") from error
    if not zipfile.is_zipfile(opened):
        raise UserError(f"{archive} is no ZIP archive (a proxy's page, perhaps); remove it and try again")
    with zipfile.ZipFile(opened) as bundle:
        names = [n for n in bundle.namelist() if n.rpartition("/")[2] == member and not n.startswith("__MACOSX")]
        if len(names) != 1:
            raise UserError(f"{archive} holds {len(names)} files called {member}; one is expected")
        with bundle.open(names[0]) as content, out.open("wb") as handle:
            shutil.copyfileobj(content, handle)
