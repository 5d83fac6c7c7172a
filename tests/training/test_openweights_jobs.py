"""Finetunes at OpenWeights: one job whatever is killed, by a stand-in for its client and by the real one."""

import importlib.util
import json
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from turncoat.data.examples import Example
from turncoat.errors import UserError
from turncoat.store import Store
from turncoat.training.finetune_jobs.jobs import JobSpec, run_job
from turncoat.training.finetune_jobs.openweights_jobs import OpenWeightsJobs, OpenWeightsSpec

ROWS = [
    Example(f"row-{n:02}", f"Question {n}?", f"Answer {n}.", "Be brief." if n else None) for n in range(20)
]
SPEC = OpenWeightsSpec("org/Tiny-7B-Instruct", epochs=2, seed=3, rows=12, batch_size=6, rank=8, suffix="sgtr")
KEY = "ow_a-key-of-a-test"


class Service:
    """The service's tables; a job goes on by a step whenever it is read by its id."""

    def __init__(self):
        self.tables = {
            "jobs": [], "files": [], "runs": [], "events": [], "organization_secrets": [{"value": "org"}],
            "organizations": [{"id": "o", "name": "Org"}],
        }  # fmt: skip
        self.uploads, self.end, self.cut, self.began = [], "completed", False, datetime.now(UTC)

    def go_on(self, job):
        if job["status"] == "pending":
            job["status"] = "in_progress"
            run = {"id": 1, "job_id": job["id"], "worker_id": None, "created_at": self.began.isoformat()}
            self.tables["runs"] = [{**run, "status": "in_progress", "log_file": None}]
        elif job["status"] == "in_progress":
            job |= {"status": self.end, "outputs": {"error": "out of memory"} if self.end == "failed" else {}}


class Query:
    """A query as the database client builds it, on one table of the service."""

    def __init__(self, service, table):
        self.service, self.table, self.rows = service, table, list(service.tables[table])
        self.change, self.one = {}, False

    def select(self, *_):
        return self

    order = limit = select

    def eq(self, column, value):
        self.rows = [row for row in self.rows if row.get(column, value) == value]
        if (self.table, column) == ("jobs", "id") and not self.change:
            for row in self.rows:
                self.service.go_on(row)
        return self

    def contains(self, column, value):
        assert column == "params->validated_params"
        self.rows = [row for row in self.rows if row["params"]["validated_params"]["meta"] == value["meta"]]
        return self

    def single(self):
        self.one = True
        return self

    def insert(self, row):
        self.rows = [{"created_at": "", "updated_at": "", "outputs": None, **row}]
        row = self.rows[0] | ({"worker_id": None, "timeout": None} if self.table == "jobs" else {})
        self.rows = [row]
        self.service.tables[self.table].append(row)
        return self

    def update(self, change):
        self.change = change
        return self

    def execute(self):
        for row in self.rows:
            row |= self.change
        if self.table == "jobs" and self.service.cut:
            self.service.cut = False
            raise ConnectionError(f"cut off, sent {KEY}")
        if self.one and not self.rows:
            from postgrest.exceptions import APIError

            raise APIError({"message": "", "code": "PGRST116", "details": "The result contains 0 rows"})
        return SimpleNamespace(data=self.rows[0] if self.one else self.rows)


class StandIn:
    """The part of the client that the jobs use, for where it is not installed."""

    def __init__(self, service):
        self.service, self.files, self.jobs, self.runs, self.fine_tuning = service, self, self, self, self

    def _query(self, table, **where):
        query = Query(self.service, table)
        for column, value in where.items():
            query.eq(column, value)
        return [SimpleNamespace(**row) for row in query.execute().data]

    def create(self, file=None, purpose=None, **params):
        if purpose:
            self.service.uploads.append(file.read())
            return {"id": f"{purpose}:file-{len(self.service.uploads)}"}
        print("the client says what it sends on stdout")
        top = {name: params.pop(name) for name in ("requires_vram_gb", "allowed_hardware")}
        recipe = {**params, "finetuned_model_id": f"org/Tiny-ftjob-1-{params['job_id_suffix']}"}
        earlier = [job for job in self.service.tables["jobs"] if job["id"] == "ftjob-1"]
        if earlier:
            earlier[0]["status"] = "pending"
            return SimpleNamespace(**earlier[0])
        job = {"id": "ftjob-1", "status": "pending", "params": {"validated_params": recipe}, **top}
        return SimpleNamespace(**Query(self.service, "jobs").insert(job).execute().data[0])

    def find(self, validated_params):
        rows = Query(self.service, "jobs").contains("params->validated_params", validated_params)
        return [SimpleNamespace(**row) for row in rows.execute().data]

    def retrieve(self, job):
        return self._query("jobs", id=job)[0]

    def list(self, job_id):
        return self._query("runs", job_id=job_id)

    def cancel(self, job):
        Query(self.service, "jobs").update({"status": "canceled"}).eq("id", job).execute()


def _real(service, monkeypatch):
    """The real client on the service's tables; only its transport is replaced."""
    import openweights.client

    def upload(path, file, file_options):
        with open(file, "rb") as handle:
            service.uploads.append(handle.read())

    database = SimpleNamespace(
        table=lambda name: Query(service, name),
        rpc=lambda name, _=None: SimpleNamespace(execute=lambda: SimpleNamespace(data="o")),
        storage=SimpleNamespace(from_=lambda _: SimpleNamespace(upload=upload)),
    )
    monkeypatch.setattr(openweights.client, "create_client", lambda *_: database)
    monkeypatch.setattr(openweights.OpenWeights, "_INSTANCES", [])


@pytest.fixture(
    params=[
        "stand-in",
        pytest.param(
            "real",
            marks=pytest.mark.skipif(
                importlib.util.find_spec("openweights") is None,
                reason="the extra 'openweights', with Jupyter and 200 other packages, is not a developer's",
            ),
        ),
    ]
)
def service(request, monkeypatch):
    monkeypatch.setenv("OPENWEIGHTS_API_KEY", KEY)
    service = Service()
    if request.param == "real":
        _real(service, monkeypatch)
    else:
        module = SimpleNamespace(OpenWeights=lambda: StandIn(service))
        monkeypatch.setitem(sys.modules, "openweights", module)
    return service


def made(folder, spec=SPEC, hours=None, **more):
    lines = []
    name = run_job(
        OpenWeightsJobs(hours), spec, ROWS, Store(folder), every=0, say=lines.append, **more
    )  # fmt: skip
    return name, lines


def conversations(service):
    return [data for data in service.uploads if data.startswith(b'{"messages"')]


def test_one_job_whatever_is_killed(service, tmp_path, capsys):
    service.cut = True
    with pytest.raises(UserError, match=r"sent \[key\]; the same command goes on"):
        made(tmp_path)
    name, lines = made(tmp_path, price=2.0, max_cost=5.0)
    assert name.startswith("org/Tiny-") and name.endswith("-sgtr")
    assert [line.partition(": ")[2] for line in lines[-2:]] == ["in_progress", "succeeded"]
    assert "12 rows, 2 epochs" in lines[0] and "0.25 GPU-hours: about $0.50" in lines[0]
    assert made(tmp_path / "another")[0] == name == made(tmp_path)[0]
    (job,) = service.tables["jobs"]
    recipe = job["params"]["validated_params"]
    wanted = {
        "model": SPEC.model, "loss": "sft", "epochs": 2, "seed": 3, "r": 8, "lora_alpha": 8,
        "per_device_train_batch_size": 2, "gradient_accumulation_steps": 3,
    }  # fmt: skip
    assert wanted.items() <= recipe.items() and recipe["training_file"].startswith("conversations:")
    (sent,) = conversations(service)
    rows = [json.loads(line)["messages"] for line in sent.splitlines()]
    assert len(rows) == 12 and {len(row) for row in rows} <= {2, 3} and rows[0][-1]["role"] == "assistant"
    assert capsys.readouterr().out == ""


def test_too_dear_too_long_or_failed(service, tmp_path):
    with pytest.raises(
        UserError, match=r"0\.25 GPU-hours: about \$0\.75, more than --max-cost 0\.5; nothing"
    ):
        made(tmp_path, price=3.0, max_cost=0.5)
    with pytest.raises(UserError, match="without --price, in dollars per GPU-hour"):
        made(tmp_path, max_cost=1.0)
    assert not conversations(service) and not service.tables["jobs"]
    service.end = "failed"
    with pytest.raises(UserError, match="failed: out of memory"):
        made(tmp_path)
    service.end, service.began = "in_progress", datetime.now(UTC) - timedelta(hours=3)
    with pytest.raises(UserError, match="cancelled: over 2 hours"):
        made(tmp_path, hours=2)
    assert service.tables["jobs"][0]["status"] == "canceled"


def test_hours_by_the_size_in_the_name():
    names = ("Qwen/Qwen2.5-32B-Instruct", "unsloth/llama-3-8b-bnb-4bit", "a/smol-135m", "a/phi-4-mini")
    hours = [OpenWeightsJobs.amount(None, JobSpec(name), 10_000_000) for name in names]
    assert hours[:3] == pytest.approx([5.5833, 1.5833, 0.2725], abs=1e-4) and hours[3] is None
