"""The hub: what is asked of it, how its answers read, and that an end can be asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors

from core.errors import FormatError
from core.events import SetupProgressed
from core.interop.huggingface.hub import fetch, is_of_the_network
from core.store.stages import Stopped, never

ROOT = Path(__file__).parents[2]
SHA = "5" * 40
FOUND = {
    "config.json": 100,
    "model.safetensors": 900,
    "pytorch_model.bin": 5000,
    "modeling.py": 10,
    "onnx/model.safetensors": 5000,
}


@dataclass
class Hub:
    """Stands in for `huggingface_hub`; answers, or fails, as it is told."""

    folder: Path
    lookup: Callable[[], Any] = lambda: None
    download: Callable[..., Any] = lambda **_: None
    asked: tuple[Any, ...] = ()

    def model_info(self, _: Any, name: str, **how: Any) -> Any:
        self.asked = (name, how["revision"])
        self.lookup()
        return SimpleNamespace(
            siblings=[SimpleNamespace(rfilename=name, size=size) for name, size in FOUND.items()]
        )

    def snapshot_download(self, name: str, **how: Any) -> str:
        self.asked += (name, how["revision"], how["local_files_only"])
        self.download(**how)
        return str(self.folder)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    stand_in = Hub(tmp_path / "snapshot")
    monkeypatch.setattr(
        huggingface_hub.HfApi, "model_info", lambda *a, **k: stand_in.model_info(*a, **k)
    )
    monkeypatch.setattr(huggingface_hub, "snapshot_download", stand_in.snapshot_download)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    return stand_in


def drained(name: str = "them/tiny") -> tuple[list[SetupProgressed], Path]:
    events, work = [], fetch(name, never)
    while True:
        try:
            events.append(next(work))
        except StopIteration as end:
            return events, end.value


def refused(name: str = "them/tiny") -> str:
    with pytest.raises(FormatError) as caught:
        drained(name)
    return f"{caught.value}\n{caught.value.hint}"


def failing(error: Exception) -> Callable[..., None]:
    def fail(**_: Any) -> None:
        raise error

    return fail


def answer(kind: type[errors.HfHubHTTPError], words: str = "404 Not Found") -> Exception:
    response = SimpleNamespace(status_code=404, headers={}, request=None)
    return kind(words, response=response)  # type: ignore[arg-type]


# What is asked.


@pytest.mark.parametrize(
    ("name", "revision"),
    [("them/tiny", None), ("them/tiny@v1.0", "v1.0"), ("a/b@refs/pr/1", "refs/pr/1")],
)
def test_a_model_is_asked_for_by_its_name_and_revision(
    hub: Hub, name: str, revision: str | None
) -> None:
    _, folder = drained(name)
    model = name.split("@")[0]
    assert folder == hub.folder
    assert hub.asked == (model, revision, model, revision, False)


@pytest.mark.parametrize(
    "name", ["", "tiny", "a/b/c", "a/b@", "a/b@..", "../b", "a b/c", "a/b\n", "https://x/y"]
)
def test_other_names_are_refused_before_anything_is_asked(hub: Hub, name: str) -> None:
    assert refused(name) == (
        f"hub:{name} names no model of the hub.\nTry hub:OWNER/NAME or hub:OWNER/NAME@REVISION."
    )
    assert hub.asked == ()


def test_nothing_that_can_run_code_is_asked_for(hub: Hub) -> None:
    from huggingface_hub.utils import filter_repo_objects

    asked: dict[str, Any] = {}
    hub.download = asked.update
    drained()
    there = [
        *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"),
        *("vocab.json", "merges.txt", "special_tokens_map.json", "model.safetensors"),
        *("model-00001-of-00002.safetensors", "model.safetensors.index.json"),
    ]
    others = [
        *("pytorch_model.bin", "model.pt", "modeling_x.py", "consolidated.safetensors"),
        *("tokenizer.model", "README.md", "onnx/model.safetensors", "onnx/config.json"),
    ]
    patterns = {name: asked[name] for name in ("allow_patterns", "ignore_patterns")}
    assert list(filter_repo_objects([*there, *others], **patterns)) == there


def test_progress_is_the_share_of_all_bytes_and_nothing_is_printed(
    hub: Hub, capfd: pytest.CaptureFixture[str]
) -> None:
    heard = threading.Semaphore(0)

    def download(tqdm_class: Any, **_: Any) -> None:
        files = tqdm_class(total=2, desc="Fetching 2 files")
        written = tqdm_class(total=100, unit="B", initial=0, name="x", desc="Reconstructing")
        for n in (100, 150, 250):
            written.update(n)
            files.update(1)
            heard.acquire(timeout=10)
        huggingface_hub.utils.logging.get_logger("huggingface_hub.x").warning("a warning")

    hub.download = download
    shares = []
    for event in fetch("them/tiny", never):
        assert event.stage == "fetching them/tiny"
        shares.append(event.share)
        if event.share is not None:
            heard.release()
    assert shares == [None, 0.1, 0.25, 0.5]
    assert capfd.readouterr() == ("", "")


def test_an_end_that_is_asked_for_comes_at_once_and_ends_the_download(hub: Hub) -> None:
    ended = threading.Event()

    def download(tqdm_class: Any, **_: Any) -> None:
        bar = tqdm_class(total=1000, unit="B")
        try:
            for _ in range(1000):
                bar.update(1)
                ended.wait(0.01)
        except Stopped:
            ended.set()
            raise

    hub.download = download
    wants_end = False
    work = fetch("them/tiny", lambda: wants_end)
    next(work)
    next(work)
    wants_end = True
    with pytest.raises(Stopped):
        next(work)
    assert ended.wait(5)


# What it says.


OFFLINE = errors.LocalEntryNotFoundError("Not in the cache. Look elsewhere.")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            answer(errors.RepositoryNotFoundError),
            "The hub has no model them/tiny, or it is private.\n"
            "A private one needs a log-in: hf auth login.",
        ),
        (
            answer(errors.GatedRepoError),
            "The makers of them/tiny want to be asked first.\n"
            "Agree at huggingface.co/them/tiny, and log in: hf auth login.",
        ),
        (
            answer(errors.RevisionNotFoundError),
            "them/tiny has no revision v9.\nWithout @REVISION it is the latest.",
        ),
        (
            answer(errors.HfHubHTTPError, "503 Server Error: busy. (Request ID: 7)\n\nSee x"),
            "The hub did not give them/tiny: 503 Server Error: busy.\nTry again later.",
        ),
        (
            errors.HFValidationError("Cannot have -- in repo_id."),
            "The hub has no names like them/tiny.\nTry hub:OWNER/NAME as its page shows it.",
        ),
        (
            OSError(28, "No space left on device"),
            "them/tiny cannot be kept: No space left on device.\n"
            "HF_HOME=FOLDER keeps the hub's files in another place.",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
@pytest.mark.parametrize("when", ["lookup", "download"])
def test_what_goes_wrong_is_one_sentence(hub: Hub, when: str, error: Exception, text: str) -> None:
    setattr(hub, when, failing(error))
    assert refused("them/tiny@v9") == text


def test_a_model_without_safetensors_is_refused_before_it_is_fetched(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(FOUND, "model.safetensors")
    assert refused() == (
        "them/tiny has no model.safetensors.\n"
        "minitf opens no pickles; look for a model in safetensors."
    )
    assert len(hub.asked) == 2


def test_without_a_way_to_the_hub_what_was_fetched_before_is_taken(hub: Hub) -> None:
    hub.lookup = failing(errors.OfflineModeIsEnabled("Offline. Yes."))
    _, folder = drained()
    assert folder == hub.folder
    assert hub.asked[-1] is True
    hub.download = failing(OFFLINE)
    assert refused() == (
        "The hub cannot be reached: Offline.\nFetch the folder elsewhere, then: minitf import DIR."
    )


def test_a_way_that_breaks_off_is_told_from_one_that_never_was(hub: Hub) -> None:
    def download(tqdm_class: Any, **_: Any) -> None:
        tqdm_class(total=1000, unit="B").update(500)
        raise TimeoutError("the read operation timed out")

    hub.download = download
    assert refused() == (
        "The way to the hub broke off: the read operation timed out.\n"
        "Import it again: what has come is kept."
    )


def test_a_fault_of_ours_is_not_called_the_networks(hub: Hub) -> None:
    hub.download = failing(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        drained()
    assert not is_of_the_network(answer(errors.HfHubHTTPError))


# The library itself.

FETCH = """
import sys
from core.errors import FormatError
from core.interop.huggingface.hub import fetch

work = fetch(sys.argv[1], lambda: False)
try:
    while True:
        print(next(work).share)
except StopIteration as end:
    print(end.value)
except FormatError as error:
    print(error)
"""


def in_a_process(name: str, home: Path, **settings: str) -> list[str]:
    patient = {"HF_HUB_ETAG_TIMEOUT": "60", "HF_HUB_DOWNLOAD_TIMEOUT": "60"}
    environment = {**os.environ, "HF_HOME": str(home), **patient, **settings}
    environment.pop("HF_HUB_DISABLE_XET", None)
    done = subprocess.run(
        [sys.executable, "-c", FETCH, name],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_offline_it_says_so_at_once(tmp_path: Path) -> None:
    lines = in_a_process("them/tiny", tmp_path, HF_HUB_OFFLINE="1")
    assert lines[0] == "None"
    assert lines[-1].startswith("The hub cannot be reached: Cannot reach https://")
    assert lines[-1].endswith("offline mode is enabled.")


class Answers(BaseHTTPRequestHandler):
    """The few addresses that a download asks for."""

    protocol_version = "HTTP/1.1"
    files: dict[str, bytes]
    asked: list[str]

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        path = self.path.split("?")[0]
        self.asked.append(path)
        sizes = [(name, len(data)) for name, data in self.files.items()]
        name = path.removeprefix(f"/them/tiny/resolve/{SHA}/")
        found = 200
        if path in ("/api/models/them/tiny", "/api/models/them/tiny/revision/main"):
            siblings = [{"rfilename": name, "size": size} for name, size in sizes]
            body = json.dumps({"id": "them/tiny", "sha": SHA, "siblings": siblings}).encode()
        elif path == f"/api/models/them/tiny/tree/{SHA}":
            tree = [{"type": "file", "path": n, "size": size, "oid": n} for n, size in sizes]
            body = json.dumps(tree).encode()
        elif name in self.files:
            body = self.files[name]
        else:
            body, found = b"{}", 404
            self.close_connection = True
        self.send_response(found)
        if found == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("ETag", f'"{name.replace("/", "-")}"')
        self.send_header("X-Repo-Commit", SHA)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)


@pytest.fixture
def server() -> Iterator[type[Answers]]:
    """A hub on this machine that has one model."""

    class Mine(Answers):
        asked: list[str] = []  # noqa: RUF012
        files = {  # noqa: RUF012
            "config.json": b"{}",
            "model.safetensors": bytes(200_000),
            "pytorch_model.bin": bytes(10),
            "extra/model.safetensors": bytes(10),
        }
        address: str

    http = ThreadingHTTPServer(("127.0.0.1", 0), Mine)
    Mine.address = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield Mine
    http.shutdown()
    http.server_close()
    thread.join()


def test_huggingface_hub_fetches_what_is_asked_and_finds_it_again_offline(
    server: Any, tmp_path: Path
) -> None:
    lines = in_a_process("them/tiny", tmp_path, HF_ENDPOINT=server.address)
    folder = Path(lines[-1])
    assert folder.is_dir(), lines
    assert sorted(path.name for path in folder.rglob("*")) == ["config.json", "model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == bytes(200_000)
    assert not any("pytorch" in path or "extra" in path for path in server.asked)
    again = in_a_process("them/tiny", tmp_path, HF_ENDPOINT=server.address, HF_HUB_OFFLINE="1")
    assert again[-1] == str(folder)
    assert in_a_process("them/other", tmp_path, HF_ENDPOINT=server.address)[-1] == (
        "The hub has no model them/other, or it is private."
    )
