"""The page: a real upload in a real browser, its limits, and nothing of this machine in an answer."""

import base64
import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from msavqa.app import page
from msavqa.bundle import contents as bundle_contents
from msavqa.frames.probe import probe
from msavqa.machine.processes import Outcome
from msavqa.score.scorer import load
from tests import media
from tests.app.test_cli import msavqa
from tests.browser import browser
from tests.conftest import ROOT

BOUNDARY = "xxBOUNDARYxx"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def address(random_bundle: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "msavqa.app.cli", "ui", "--port", "0", "--model", str(random_bundle)]
    command += ["--max-mb", "0.2", "--max-seconds", "10"]
    served = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        assert served.stdout is not None
        yield served.stdout.readline().split()[0]
    finally:
        served.terminate()
        served.communicate(timeout=60)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media.write(tmp_path_factory.mktemp("videos") / "<b>my video.mp4", media.numbered(8))


def post(
    address: str, name: str, content: bytes, *prompts: str, **headers: str
) -> tuple[int, dict[str, object]]:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n{one}\r\n' for one in prompts
    ]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="video"; filename="{name}"\r\n\r\n'
    body = "".join([*parts, head]).encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()
    sent = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", **headers}
    request = urllib.request.Request(f"{address}/score", data=body, headers=sent)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            text = error.read().decode()
        return error.code, json.loads(text) if text.startswith("{") else {"error": text}


DROP = """
const bytes = Uint8Array.from(atob(arguments[2]), (one) => one.charCodeAt(0));
const data = new DataTransfer();
data.items.add(new File([bytes], arguments[1], { type: "video/mp4" }));
const event = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
return document.querySelector(arguments[0]).dispatchEvent(event)
"""
"""Drops a file on what the first argument finds; true where the browser would open the file instead."""


def test_a_dropped_video_is_scored_and_two_prompts_are_compared(
    address: str, random_bundle: Path, video: Path, tmp_path: Path
) -> None:
    with browser(width=900) as window:
        window.open(address)
        content = base64.b64encode(video.read_bytes()).decode()
        assert not window.run(DROP, "h1", "beside.mp4", content)
        assert window.text("#chosen") == "Drop a video here, or choose one"
        assert not window.run(DROP, "#drop", video.name, content)
        window.type("#prompt", HOSTILE)
        window.type("#second", "a red ball")
        window.click("#go")
        window.wait("!document.getElementById('results').hidden", seconds=180)
        said = window.text("#scores")
        assert HOSTILE in said
        assert window.run("return document.querySelectorAll('.score').length") == 2
        assert window.run("return document.querySelectorAll('#timeline rect').length") == 4
        assert " ".join(window.text("#seconds").split()) == "0.12 s 0.38 s 0.62 s 0.88 s"
        assert window.run("return document.getElementById('film').naturalWidth") > 96
        assert window.text("#chosen") == f"<b>my video.mp4, {-(-len(video.read_bytes()) // 1000)} kB"
        for value, digits in (
            (0.125, 2),
            (0.375, 2),
            (0.13, 2),
            (62.25, 1),
            (-0.75, 1),
            (2.675, 2),
            (0.0625, 3),
        ):
            assert window.run(f"return fixed({value}, {digits})") == f"{value:.{digits}f}"
        assert window.console() == []
        assert all(url.startswith((address, "data:", "blob:")) for url in window.requests())
        shown, compared = float(window.text(".score b")), window.text("#difference")
        window.screenshot(tmp_path / "ui.png")
    with load(random_bundle) as scorer:
        first, second = (scorer.score(video, prompt).score for prompt in (HOSTILE, "a red ball"))
    assert shown == round(first, 1)
    side = "lower" if second < first else "higher"
    assert compared == f"The second prompt scores {abs(second - first):.1f} {side} than the first."


def test_a_refusal_shows_on_the_page(address: str, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_text("no video", encoding="utf-8")
    with browser() as window:
        window.open(address)
        window.type("#video", str(tmp_path / "bad.mp4"))
        window.type("#prompt", "x")
        window.click("#go")
        window.wait("!document.getElementById('error').hidden", seconds=180)
        said = window.text("#error")
    assert "in bad.mp4: got" in said
    assert "/" not in said.replace("and/or", "")


def test_a_server_that_fails_is_told_from_one_that_is_gone(address: str, video: Path) -> None:
    with browser() as window:
        window.open(address)
        window.type("#video", str(video))
        window.type("#prompt", "x")
        for answer, said in (
            ("new Response('Internal Server Error', { status: 500 })",
             "The server failed (500): the terminal of `msavqa ui` says why."),
            ("Promise.reject(new TypeError('Failed to fetch'))",
             "The server did not answer: is `msavqa ui` still running, and is the file within its limits?"),
        ):  # fmt: skip
            window.run(f"window.fetch = async () => {answer}")
            window.run("document.getElementById('error').hidden = true")
            window.click("#go")
            window.wait("!document.getElementById('error').hidden")
            assert window.text("#error") == said


def test_more_prompts_than_the_page_has_are_told(address: str, video: Path) -> None:
    assert post(address, "a.mp4", video.read_bytes(), *"abcde") == (
        400, {"error": "too much was sent: expected one video and at most 4 prompts."}
    )  # fmt: skip


def test_a_prompt_that_is_too_long_is_told(address: str, video: Path) -> None:
    assert post(address, "a.mp4", video.read_bytes(), "x" * 20_001) == (
        400, {"error": "Prompt in the upload: got 20001 characters, expected at most 20000; shorten it."}
    )  # fmt: skip


def hang(path: Path) -> None:
    time.sleep(600)


def test_an_upload_that_hangs_the_prober_or_has_no_length_is_refused(
    random_bundle: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with load(random_bundle) as scorer:
        with monkeypatch.context() as patch:
            patch.setattr(page, "probe", hang)
            patch.setattr(page, "PROBE_SECONDS", 0.5)
            with (
                page.Desk(scorer, max_mb=1.0, max_seconds=10.0, examples=[]) as desk,
                pytest.raises(page._Told) as told,
            ):
                desk.judge(video, name="a.mp4", prompts=["x"])
        assert str(told.value) == (
            "Video in a.mp4: got no answer within 0.5 s, twice, expected a result; look at that file, or "
            "allow it more seconds and memory."
        )
        endless = dataclasses.replace(probe(video), duration_seconds=float("nan"))
        with page.Desk(scorer, max_mb=1.0, max_seconds=10.0, examples=[]) as desk:
            monkeypatch.setattr(desk._probes, "map", lambda paths: iter([Outcome(endless, None)]))
            with pytest.raises(page._Told) as told:
                desk.judge(video, name="a.mp4", prompts=["x"])
        assert str(told.value) == (
            "Length in a.mp4: got nan s, expected at most 10 s; cut the video, or start the page with a "
            "larger --max-seconds."
        )


def test_without_its_extra_the_command_says_what_to_install(
    random_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert msavqa("ui", "--model", random_bundle, cwd=tmp_path, code=2).stderr == (
        "error: Web page in msavqa ui: got no module 'uvicorn', expected the packages of the extra `ui`; "
        "run `make ui` in the checkout, or `pip install python-multipart starlette uvicorn`.\n"
    )


def test_a_port_that_is_taken_is_named(random_bundle: Path, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = msavqa("ui", "--port", port, "--model", random_bundle, cwd=tmp_path, code=2)
    assert said.stderr == (
        f"error: Port in 127.0.0.1: got {port}: Address already in use, expected a free one; choose another "
        "--port.\n"
    )


def test_a_bundle_that_is_unfit_shows_before_the_address(random_bundle: Path, tmp_path: Path) -> None:
    file = Path(shutil.copytree(random_bundle, tmp_path / "model")) / "bundle.json"
    contents = json.loads(file.read_text(encoding="utf-8"))
    contents["trunks"]["frame"]["resize"] = 40
    contents["digest"] = bundle_contents.digest(
        {key: one for key, one in contents.items() if key != "digest"}
    )
    file.write_text(json.dumps(contents), encoding="utf-8")
    done = msavqa("ui", "--port", 0, "--model", "model", cwd=tmp_path, code=2)
    assert (done.stdout, done.stderr) == (
        "",
        "error: Frozen network in trunk 'frame': got resize 40, expected 32, as in training; run `dvc repro` "
        "to train with this msavqa, or score with that of the training.\n",
    )


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "notes.txt",
            b"x",
            "Kind of file in notes.txt: got .txt, expected one of .3gp, .avi, .flv, .gif, .m4v, .mkv, .mov, "
            ".mp4, "
            ".mpeg, .mpg, .ogv, .webm, .wmv; choose a video file.",
        ),
        (
            "../../etc/passwd.mp4",
            b"x" * 400_000,
            "Size in the upload: got 0.4002 MB, expected at most 0.2 MB; choose a smaller file, or start the "
            "page "
            "with a larger --max-mb.",
        ),
    ],
)
def test_limits_are_said_in_one_sentence(address: str, name: str, content: bytes, said: str) -> None:
    assert post(address, name, content, "x") == (400, {"error": said})


def test_a_long_video_is_refused_before_it_is_decoded(address: str, tmp_path: Path) -> None:
    path = media.write(tmp_path / "long.mp4", media.numbered(8), rate=8, stamps=[0, 1, 2, 3, 4, 5, 6, 160])
    status, found = post(address, "long.mp4", path.read_bytes(), "x")
    assert status == 400
    assert str(found["error"]).startswith("Length in long.mp4: got ")


def test_no_answer_names_a_path_of_this_machine(address: str, video: Path) -> None:
    for content in (b"", b"no video", video.read_bytes()):
        _, found = post(address, "../../secret/dir/name.mp4", content, "x")
        text = json.dumps({key: value for key, value in found.items() if key != "film"})
        assert "name.mp4" in text
        for leak in ("/tmp", "secret", str(Path.home()), "upload.mp4"):
            assert leak not in text


def test_other_hosts_and_other_sites_are_refused(address: str, video: Path) -> None:
    assert post(address, "a.mp4", video.read_bytes(), "x", Host="evil.example")[0] == 400
    status, found = post(address, "a.mp4", video.read_bytes(), "x", Origin="https://evil.example")
    assert (status, found) == (400, {"error": "another site's page may not score videos here."})


def test_a_request_without_a_video_is_refused(address: str) -> None:
    assert post(address, "", b"", "x") == (400, {"error": "no video was sent: choose a file."})
