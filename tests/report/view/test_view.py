"""`turncoat view`: what its server answers and refuses, and what a page of a run holds."""

from __future__ import annotations

import http.client
import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from report.made_run import ARMS, CHOICE, LOSS, made_defences, study_of, write_run
from report.view.running_run import HOSTILE, KEYS, running, write_stages
from turncoat.cli import app
from turncoat.errors import UserError
from turncoat.report.view.charts import control_pairs, training_charts
from turncoat.report.view.page import view_page
from turncoat.report.view.running import progress, running_data
from turncoat.report.view.runs import runs_in
from turncoat.report.view.server import ViewServer
from turncoat.shown_text import visible
from turncoat.store import Store
from turncoat.study.config import load_study
from typer.testing import CliRunner


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ViewServer]:
    running(tmp_path / "run")
    (tmp_path / "secret.json").write_text("{}")
    write_stages(tmp_path / "store")
    made = ViewServer({"run": tmp_path / "run"}, store=Store(tmp_path / "store"))
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def _asked(server: ViewServer, path: str, host: str = "", method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.request(method, path, headers={"Host": host or f"127.0.0.1:{server.server_port}"})
    reply = connection.getresponse()
    return reply.status, reply.read().decode()


def test_the_server_answers_under_its_own_host_and_token_and_never_with_a_file(server: ViewServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    base, port = f"/{server.token}/", server.server_port
    status, text = _asked(server, f"{base}0/progress.json")
    told = json.loads(text)
    assert status == 200 and (told["done"], told["of"], told["left"]) == (1, 3, 95.0)
    assert told["at_work"] == ["insecure: training"] and "result" not in told["stages"][0]
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port}.evil.example"):
        assert _asked(server, f"{base}0/progress.json", host) == (
            403,
            "this server answers to 127.0.0.1 alone",
        )
    assert _asked(server, f"{base}0/progress.json", f"localhost:{port}")[0] == 200
    below = ("1/", "0/../secret.json", "0/study.yaml", "0/%2e%2e/secret.json", "-1/", "0/rows/")
    paths = ["/", "/x/0/progress.json", f"/{server.token}x/0/", "//", *(base + path for path in below)]
    assert {path: _asked(server, path)[0] for path in paths} == dict.fromkeys(paths, 404)
    assert _asked(server, f"{base}0/", method="POST")[0] == 501
    with pytest.raises(UserError, match=f"--port {port}"):
        ViewServer({}, port=port)


def test_answers_and_curves_come_as_stages_end(tmp_path: Path) -> None:
    record, store = running(tmp_path / "run"), Store(tmp_path / "store")
    write_stages(tmp_path / "store")
    answers, charts = running_data(tmp_path / "run", store)
    assert len(answers["groups"]["run"][""]) == 8 and charts == []
    record.end("insecure/0", 9.0, KEYS["insecure/0"])
    record.end("insecure/0/em", 9.0, KEYS["insecure/0/em"])
    answers, charts = running_data(tmp_path / "run", store)
    assert len(answers["groups"]["run"][""]) == 16
    assert [(chart["title"][:7], chart["lines"][0]["points"]) for chart in charts] == [
        ("Loss wh", [[1, 3.0], [2, 2.0], [3, 1.0]]), ("Penalty", [[1, 0.0], [2, 1.0], [3, 2.0]])
    ]  # fmt: skip
    page = view_page(tmp_path / "run", store=store)
    assert "connect-src" not in page and "As it was when this file was written" in page
    stored = json.loads(page.split('id="view-answers">')[1].split("</script>")[0])
    assert visible(HOSTILE) in [row[7] for row in stored["groups"]["run"][""]]
    assert page.count("<img") == 0 and HOSTILE not in page
    assert "connect-src 'self'" in view_page(tmp_path / "run", store=store, served=True).replace("&#39;", "'")


def test_a_finished_run_has_overview_and_curves_and_stands_beside_another(tmp_path: Path) -> None:
    contrast = {
        "name": "organism",
        "treated": "insecure",
        "reference": "secure",
        "metrics": ["margin_per_token"],
    }
    study = study_of(ARMS, (CHOICE, LOSS), contrasts=[contrast])
    with made_defences():
        one = write_run(tmp_path / "one", study)
        two = write_run(tmp_path / "two", {**study, "study": "other", "sampling_seed": 1})
        assert progress(one) is None
        result = CliRunner().invoke(
            app, ["view", str(one), "--against", str(two), "--static", str(tmp_path / "x.html")]
        )
        assert result.exit_code == 0, result.output
        loaded = load_study(one / "study.yaml")
        assert [(arm.name, other.name) for arm, other in control_pairs(loaded)] == [("insecure", "secure")]
        with pytest.raises(UserError, match="one, two"):
            CliRunner().invoke(
                app, ["view", str(tmp_path), "--static", str(tmp_path / "y.html")], catch_exceptions=False
            )
    page = (tmp_path / "x.html").read_text("utf-8")
    loads = re.findall(r'(?:src|href|srcset)="([^"]*)"', page)
    assert loads and all(value.startswith(("#", "data:")) for value in loads)
    assert "insecure_code" in page and "Two runs" in page and "<td" in page.split('id="against"')[1]
    charts = json.loads(page.split('id="view-charts">')[1].split("</script>")[0])
    losses = next(chart for chart in charts if chart["title"].endswith("on insecure_code"))
    assert losses["lines"][0]["points"] == [[1, 2.0], [4, 1.0]] and "no curve" in losses["note"]
    assert training_charts([], loaded) == []


def test_a_table_of_judged_answers_has_its_answers(tmp_path: Path) -> None:
    path = tmp_path / "judged.csv"
    rows = [f"org,How?,{HOSTILE} {n},{n},90" for n in (5, 95)] + ["ctl,How?,Fine.,90,40"]
    path.write_text("\n".join(["model,prompt_text,response,alignment_score,coherence_score", *rows]) + "\n")
    done = CliRunner().invoke(app, ["view", str(path), "--static", str(tmp_path / "x.html")])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "x.html").read_text("utf-8")
    data = re.search(r'<script type="application/json" id="view-answers">(.*?)</script>', page, re.DOTALL)
    assert data is not None and HOSTILE not in page
    store = json.loads(data[1])
    assert store["arms"] == [["org", "org", "c0"], ["ctl", "ctl", "c1"]]
    answers = store["groups"]["run"][""]
    assert [(row[8], row[9], store["strings"][row[11]]) for row in answers] == [
        (5, 90, "misaligned valid"), (95, 90, "valid"), (90, 40, "incoherent"),
    ]  # fmt: skip
    assert 'id="training"' not in page and "3 answers of 2 arms" in page
    path.write_text("item,is_correct\n1,1\n2,0\n")
    with pytest.raises(UserError, match="no judged answers to show; accepted: a column with their texts"):
        view_page(path)


def test_a_stopped_run_says_so_and_one_over_a_finished_run_hides_nothing(tmp_path: Path) -> None:
    path = running(tmp_path / "run").path
    assert progress(tmp_path / "run")["state"] == "running"
    path.write_text(re.sub(r'"pid":\d+', f'"pid":{2**22 + os.getpid()}', path.read_text()))
    assert progress(tmp_path / "run")["state"] == "stopped"
    (tmp_path / "run" / "run.json").write_text("{}")
    assert progress(tmp_path / "run") is None


def test_runs_are_found_below_a_folder_and_none_is_an_error(tmp_path: Path) -> None:
    running(tmp_path / "a" / "run")
    assert list(runs_in(tmp_path)) == ["a/run"] and list(runs_in(tmp_path / "a" / "run")) == ["run"]
    with pytest.raises(UserError, match="turncoat run"):
        runs_in(tmp_path / "store")
