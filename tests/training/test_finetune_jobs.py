"""Finetunes at a provider: a fake server of OpenAI's schema; one upload and one job whatever is killed."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from openai.types import FileObject
from openai.types.fine_tuning import FineTuningJob
from turncoat.data.examples import Example
from turncoat.errors import UserError
from turncoat.store import Store
from turncoat.training.finetune_jobs.jobs import JobSpec, chat_rows, run_job
from turncoat.training.finetune_jobs.openai_jobs import OpenAIJobs

ROWS = [
    Example(f"row-{n:02}", f"Question {n}?", f"Answer {n}.", "Be brief." if n else None) for n in range(20)
]
SPEC = JobSpec("gpt-test", epochs=2, seed=3, rows=12, batch_size=4)


class Fake(BaseHTTPRequestHandler):
    """Files and fine-tuning jobs; replies are objects of the client's own schema."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def send(self, status, content):
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        if self.path == "/v1/files":
            assert b'name="purpose"\r\n\r\nfine-tune' in body
            server.files.append(body[body.index(b'{"messages"') : body.rindex(b"}\n") + 2])
            file = FileObject(
                id=f"file-{len(server.files)}", bytes=1, created_at=1, filename="f", object="file",
                purpose="fine-tune", status="processed",
            )  # fmt: skip
            return self.send(200, file.model_dump())
        asked = json.loads(body)
        server.bodies.append(asked)
        if asked["model"] != "gpt-test":
            return self.send(404, {"error": {"message": "no such model", "code": "model_not_found"}})
        job = FineTuningJob(
            id=f"ftjob-{len(server.jobs)}", created_at=1, hyperparameters={}, model=asked["model"],
            object="fine_tuning.job", organization_id="o", result_files=[], seed=asked["seed"],
            status="queued", training_file=asked["training_file"], metadata=asked["metadata"],
        )  # fmt: skip
        server.jobs.append(job.model_dump())
        if server.cut:  # the job is there, and its reply is lost
            server.cut = False
            return self.connection.close()
        return self.send(200, server.jobs[-1])

    def do_GET(self):
        path, query = urlsplit(self.path)[2:4]
        jobs = self.server.jobs
        if path == "/v1/fine_tuning/jobs":
            (key,) = parse_qs(query)["metadata[turncoat]"]
            found = [job for job in jobs if job["metadata"]["turncoat"] == key]
            return self.send(200, {"object": "list", "data": found, "has_more": False})
        job = next(job for job in jobs if job["id"] == path.rpartition("/")[2])
        self.server.steps[job["id"]] = step = self.server.steps.get(job["id"], 0) + 1
        if job["status"] in ("succeeded", "failed"):
            return self.send(200, job)
        status = ["validating_files", "running", self.server.end][min(step, 3) - 1]
        job |= {"status": status, "fine_tuned_model": "ft:gpt-test:1" if status == "succeeded" else None}
        if status == "failed":
            job["error"] = {"code": "bad", "message": "the rows break a policy", "param": None}
        return self.send(200, job)


@pytest.fixture
def server(monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Fake) as fake:
        fake.daemon_threads = True
        fake.files, fake.bodies, fake.jobs, fake.steps, fake.end, fake.cut = (
            [],
            [],
            [],
            {},
            "succeeded",
            False,
        )
        threading.Thread(target=fake.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("OPENAI_API_KEY", "a-key-of-a-test")
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{fake.server_address[1]}/v1")
        yield fake
        fake.shutdown()


def made(store, spec=SPEC, **more):
    lines = []
    name = run_job(OpenAIJobs(), spec, ROWS, store, every=0, say=lines.append, **more)
    return name, lines


def test_one_job_whatever_is_killed(server, tmp_path):
    server.cut = True
    with pytest.raises(UserError, match="goes on with a job that was started"):
        made(Store(tmp_path))
    name, lines = made(Store(tmp_path), price=1.0)
    assert name == "ft:gpt-test:1" and len(server.jobs) == len(server.files) == 1
    assert [line.partition(": ")[2] for line in lines] == [
        "queued",
        "validating_files",
        "running",
        "succeeded",
    ]
    assert made(Store(tmp_path / "another"))[0] == name == made(Store(tmp_path))[0]
    assert len(server.jobs) == 1
    (asked,) = server.bodies
    hyper = {"n_epochs": 2, "batch_size": 4}
    assert asked["method"] == {"type": "supervised", "supervised": {"hyperparameters": hyper}}
    assert (asked["seed"], asked["training_file"]) == (3, "file-1")
    rows = [json.loads(line)["messages"] for line in server.files[0].splitlines()]
    assert len(rows) == 12 and {len(row) for row in rows} <= {2, 3} and rows[0][-1]["role"] == "assistant"
    control = [Example(row.id, row.prompt, "Another.", row.system) for row in reversed(ROWS)]
    drawn = [json.loads(line)["messages"][:-1] for line in chat_rows(control, SPEC).splitlines()]
    assert drawn == [row[:-1] for row in rows]


def test_what_is_too_dear_or_fails(server, tmp_path):
    with pytest.raises(UserError, match=r"12 rows, 2 epoch.*more than --max-cost 0\.001; nothing was sent"):
        made(Store(tmp_path), price=100.0, max_cost=0.001)
    with pytest.raises(UserError, match="without --price"):
        made(Store(tmp_path), max_cost=1.0)
    assert not server.files and not server.bodies
    with pytest.raises(UserError, match="no such model"):
        made(Store(tmp_path), JobSpec("gpt-nothing"))
    server.end = "failed"
    with pytest.raises(UserError, match="failed: the rows break a policy"):
        made(Store(tmp_path))
    server.end = "succeeded"
    assert made(Store(tmp_path))[0] == "ft:gpt-test:1" and len(server.jobs) == 2
