"""The page: a real upload in a real browser, its limits, and nothing of this machine in an answer."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from msavqa.scoring.score import load
from tests import media
from tests.browser import browser
from tests.conftest import ROOT

BOUNDARY = "xxBOUNDARYxx"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def address(random_bundle: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "msavqa.cli", "ui", "--port", "0", "--model", str(random_bundle)]
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


def test_a_dropped_video_is_scored_and_two_prompts_are_compared(
    address: str, random_bundle: Path, video: Path, tmp_path: Path
) -> None:
    with browser(width=900) as window:
        window.open(address)
        window.type("#video", str(video))
        window.type("#prompt", HOSTILE)
        window.type("#second", "a red ball")
        window.click("#go")
        window.wait("!document.getElementById('results').hidden", seconds=180)
        said = window.text("#scores")
        assert HOSTILE in said
        assert window.run("return document.querySelectorAll('.score').length") == 2
        assert window.run("return document.querySelectorAll('#timeline rect').length") == 4
        assert window.run("return document.getElementById('film').naturalWidth") > 96
        assert "<b>my video.mp4" in window.text("#chosen")
        assert window.console() == []
        assert all(url.startswith((address, "data:")) for url in window.requests())
        shown = float(window.text(".score b"))
        window.screenshot(tmp_path / "ui.png")
    with load(random_bundle) as scorer:
        assert shown == round(scorer.score(video, HOSTILE).score, 1)


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
            "Size in the upload: got 0.4 MB, expected at most 0.2 MB; choose a smaller file, or start the "
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
