"""The command line: exit codes, one JSON document on stdout, one clear line for what a person must change."""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

import cli.client
from cli.main import COMMANDS, main
from cli.send import each, mask_name
from inference_container.manifest import STARTER
from local.stack import free_ports
from shared import settings
from shared.adapters.local.documents import LocalDocuments
from shared.errors import Misconfigured
from shared.limits import MAX_BYTES
from shared.settings import Settings
from tests.domain import PHOTO, world


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each command sees an empty data folder and no stack."""
    for name in [name for name in os.environ if name.startswith(settings.PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MASKLINE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MASKLINE_URL", f"http://127.0.0.1:{free_ports(1)[0]}")


def document(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr; nothing is on stdout."""
    told = capsys.readouterr()
    (line,) = told.err.splitlines()
    assert told.out == ""
    return line


# -- main


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    told = capsys.readouterr().out
    assert ("--json" in told) == (command != "up")
    assert ("--url" in told) == (command not in ("up", "demo"))


@pytest.mark.parametrize("given", [["dance"], [], ["--json"], ["ps", "--dance"]])
def test_what_is_no_command_is_refused_with_usage(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(given)
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("usage: maskline")


def test_a_wrong_setting_is_one_line_and_exit_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MASKLINE_LEASE_SECONDS", "soon")
    assert main(["ps"]) == 1
    assert complaint(capsys) == "maskline: MASKLINE_LEASE_SECONDS must be a number, not 'soon'"


# -- ps, token


def test_ps_without_a_stack_lists_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ps", "--json"]) == 0
    assert document(capsys) == []
    assert main(["ps"]) == 0
    assert capsys.readouterr().out == "nothing runs on this data folder\n"


def test_a_token_names_its_user(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "--user", "alice", "--json"]) == 0
    token = document(capsys)["token"]
    assert jwt.decode(token, options={"verify_signature": False})["sub"] == "alice"
    assert main(["token", "--user", "alice"]) == 0
    assert capsys.readouterr().out.count(".") == 2


def test_there_are_no_development_tokens_in_production(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MASKLINE_PROFILE", "gcp")
    assert main(["token", "--user", "alice"]) == 1
    assert "sign in through Firebase" in complaint(capsys)


@pytest.mark.parametrize("name", ["", "x" * 129, "\udcff"])
def test_a_name_that_no_user_can_have_gets_no_token(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "--user", name]) == 1
    assert "a user's name" in complaint(capsys)


# -- audit


def test_auditing_nothing_says_what_to_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--json"]) == 1
    assert "--data" in complaint(capsys)


def test_a_clean_audit_exits_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with world(tmp_path / "data") as domain:
        domain.worker(domain.queued()).finish()
    assert main(["audit", "--json"]) == 0
    assert document(capsys) == {"missing": [], "duplicated": [], "unexpected": [], "stuck": []}


def test_an_audit_that_finds_something_exits_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with world(tmp_path / "data") as domain:
        prediction = domain.queued()
        domain.runtime.store.create(replace(prediction, id="p" + "a" * 25))
    assert main(["audit", "--json"]) == 1
    line = f"{prediction.object} generation {prediction.generation}"
    assert document(capsys)["duplicated"] == [line]
    assert main(["audit"]) == 1
    assert f"duplicated: 1\n  {line}\n" in capsys.readouterr().out


def test_an_audit_says_when_it_could_not_look_at_messages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with world(tmp_path / "data") as domain:
        domain.worker(domain.queued()).finish()
    assert main(["audit"]) == 0
    said = capsys.readouterr()
    assert said.out == "missing: 0\nduplicated: 0\nunexpected: 0\nstuck: 0\n"
    assert said.err == "maskline: messages were not looked at: there is no broker.db: no stack ran on this folder yet\n"


def test_the_emulators_messages_cannot_be_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    from cli.audit import _messages

    assert _messages(Settings.from_env({}, profile="emulator")) is None
    assert "emulator shows a message only to who takes it" in capsys.readouterr().err


# -- doctor


def findings(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    return {row["check"]: row for row in document(capsys)}


def test_the_doctor_finds_this_checkout_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    rows = findings(capsys)
    assert all(row["ok"] and not row["next"] for row in rows.values())
    assert {"python", "packages", "pipeline", "model", "data folder"} <= rows.keys()


def test_the_doctor_goes_on_when_the_pipeline_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise Misconfigured("pipeline.yaml does not have the agreed form")

    monkeypatch.setattr("shared.pipeline.load", broken)
    assert main(["doctor", "--json"]) == 1
    rows = findings(capsys)
    assert [name for name, row in rows.items() if not row["ok"]] == ["pipeline"]
    assert "data folder" in rows


def test_the_doctor_names_an_emulator_in_production(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MASKLINE_PROFILE", "gcp")
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", "localhost:1")
    assert main(["doctor", "--json"]) == 1
    row = findings(capsys)["settings"]
    assert "FIRESTORE_EMULATOR_HOST" in row["message"]
    assert "unset" in row["next"]


def test_the_doctor_looks_for_the_emulators_where_they_are_wanted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MASKLINE_PROFILE", "emulator")
    monkeypatch.setenv("PATH", "")
    assert main(["doctor", "--json"]) == 1
    assert "Java" in findings(capsys)["emulators"]["message"]


def test_the_doctor_names_a_broken_bundle(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.json").write_bytes((STARTER / "model.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 100)
    monkeypatch.setenv("MASKLINE_MODEL", str(tmp_path))
    assert main(["doctor", "--json"]) == 1
    rows = findings(capsys)
    assert [name for name, row in rows.items() if not row["ok"]] == ["model"]
    assert "MASKLINE_MODEL" in rows["model"]["next"]


def test_the_doctor_names_a_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("no folder")
    assert main(["doctor", "--json", "--data", str(tmp_path / "file" / "data")]) == 1
    row = findings(capsys)["data folder"]
    assert (row["ok"], "--data" in row["next"]) == (False, True)


def test_the_doctor_warns_when_settings_contradict_what_photos_took(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    documents = LocalDocuments(tmp_path / "documents.db")
    row = {"state": "SUCCEEDED", "createTime": datetime.now(UTC), "timings": {"decode": 20_000, "coldStart": 50_000}}
    documents.create("predictions/slow", row)
    assert main(["doctor", "--json", "--data", str(tmp_path)]) == 0
    found = findings(capsys)["capacity"]
    assert "MASKLINE_WORK_BUDGET_SECONDS 24 is below 60.0" in found["message"]
    assert "MASKLINE_ACK_DEADLINE_SECONDS 60 is below 80.0" in found["message"]
    assert "1 can serve 2 images/s" in found["message"]
    assert (found["ok"], found["next"]) == (True, "adjust these settings")


def test_the_doctor_tells_people_the_next_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MASKLINE_MODEL", "/nowhere")
    assert main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert "FAIL  model" in told
    assert "→ point MASKLINE_MODEL" in told


# -- send


def test_sending_a_file_that_does_not_exist_asks_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["send", str(tmp_path / "none.jpg"), "--wait", "--json"]) == 1
    (row,) = document(capsys)
    assert (row["id"], row["state"], row["error"]["reason"]) == (None, "FAILED", "SOURCE_MISSING")


def test_sending_to_nobody_says_what_to_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli.client, "_UNKNOWN", 0.1)
    (tmp_path / "cat.png").write_bytes(PHOTO)
    assert main(["send", str(tmp_path / "cat.png"), "--json"]) == 1
    (row,) = document(capsys)
    assert row["state"] == "FAILED"
    assert "is `maskline up` running?" in row["error"]["message"]


@pytest.mark.parametrize(("size", "reason"), [(0, "CORRUPT_IMAGE"), (MAX_BYTES + 1, "TOO_LARGE")])
def test_a_file_of_an_impossible_size_is_rejected_without_being_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], size: int, reason: str
) -> None:
    with (tmp_path / "cat.png").open("wb") as file:
        file.truncate(size)
    assert main(["send", str(tmp_path / "cat.png"), "--wait", "--json"]) == 1
    (row,) = document(capsys)
    assert (row["id"], row["state"], row["error"]["reason"]) == (None, "REJECTED", reason)


def test_a_folder_that_no_mask_can_be_written_to_is_one_line_before_anything_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["send", str(tmp_path / "cat.png"), "--wait", "--out", str(tmp_path / "file")]) == 1
    assert "folder for the masks" in complaint(capsys)


@pytest.mark.parametrize("token", ["tökén", "a\nb"])
def test_what_can_be_no_token_is_one_line(token: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["send", "cat.png", "--token", token]) == 1
    assert complaint(capsys) == "maskline: the token is not an ID token"


def test_a_name_that_no_terminal_can_show_is_told_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["send", "cat\udcff.png"]) == 1
    assert "cat\\udcff.png" in capsys.readouterr().out


@pytest.mark.parametrize("stem", ["cat", "写" * 85, "x" * 251, "cat\udcff"])
def test_a_mask_gets_a_name_that_every_folder_takes(tmp_path: Path, stem: str) -> None:
    name = mask_name(Path(f"{stem}.jpg"), "p" + "a" * 25)
    assert name.endswith(".aaaaaa.mask.png")
    (tmp_path / name).touch()


def a_client(handler: Callable[[httpx.Request], httpx.Response]) -> cli.client.Client:
    return cli.client.Client("http://here", lambda: "", httpx.Client(transport=httpx.MockTransport(handler)))


def test_a_service_that_has_answered_before_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.client, "_UNKNOWN", 0.0)
    answers = iter([httpx.Response(200, json={"state": "QUEUED"}), None, None])

    def answer(request: httpx.Request) -> httpx.Response:
        found = next(answers, httpx.Response(200, json={"state": "SUCCEEDED"}))
        if found is None:
            raise httpx.ConnectError("it is starting again", request=request)
        return found

    assert a_client(answer).wait("p")["state"] == "SUCCEEDED"


class Answering(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"state": "SUCCEEDED"}')

    def log_message(self, *_: object) -> None:
        pass


def test_a_stack_on_this_machine_is_not_looked_for_behind_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_ports(1)[0]}")
    with http.server.HTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever).start()
        read = settings.Settings.from_env(url=f"http://127.0.0.1:{server.server_port}")
        client = cli.client.connect(read, "ada")
        try:
            assert client.get("p")["state"] == "SUCCEEDED"
        finally:
            client.http.close()
            server.shutdown()


def test_nobody_waits_for_what_is_on_its_way_when_a_person_interrupts() -> None:
    """One item is interrupted; the other would wait for ever."""
    client = a_client(lambda _: httpx.Response(200, json={"state": "RUNNING"}))
    waiting = threading.Event()

    def work(item: str) -> dict[str, Any]:
        if item == "endless":
            waiting.set()
            return client.wait(item)
        waiting.wait()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        each(client, "waiting", ["endless", "interrupted"], work)
