"""Serves the page and scores what is uploaded, on 127.0.0.1 only. The browser plays its own file.

An upload is written to a temporary file under a name of ours and deleted after it was scored; no path of
this machine is in an answer. Requests for another host are refused, so that a foreign page cannot reach it.
"""

import tempfile
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from msavqa.app.examples import Example
from msavqa.frames.probe import probe
from msavqa.ground.errors import MsavqaError
from msavqa.machine.processes import Pool
from msavqa.report.filmstrips import film
from msavqa.score.scorer import Scorer

HERE = Path(__file__).parent
HOSTS = ["127.0.0.1", "localhost"]
KINDS = (
    ".3gp", ".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".webm", ".wmv",
)  # fmt: skip
FILM_PIXELS = 96
PROMPTS = 4
PROMPT_CHARACTERS = 20_000
PROBE_SECONDS = 20.0
"""Wall-clock limit of asking an upload what it is, in a process of its own: ffmpeg can hang or die."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
    "media-src blob:; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class UploadError(MsavqaError):
    """An upload that is not taken."""


class Desk(AbstractContextManager["Desk"]):
    """One scorer and its limits, shared by all requests; one video is scored at a time."""

    def __init__(
        self, scorer: Scorer, *, max_mb: float, max_seconds: float, examples: Sequence[Example]
    ) -> None:
        self.scorer, self.max_bytes, self.max_seconds = scorer, int(max_mb * 1e6), max_seconds
        self.examples = examples
        self._turn = threading.Lock()
        self._probes = Pool(probe, workers=1, timeout_seconds=PROBE_SECONDS, what="Video")

    def __exit__(self, *raised: object) -> None:
        self._probes.close()

    def judge(self, path: Path, *, name: str, prompts: list[str]) -> dict[str, Any]:
        """Scores of a file for each prompt and its frames as one picture; errors speak of `name`."""
        try:
            facts = next(self._probes.map([path])).result()
            if not facts.duration_seconds <= self.max_seconds:  # NaN where it is not known
                raise UploadError(
                    what="Length",
                    where=name,
                    got=f"{facts.duration_seconds:.1f} s",
                    expected=f"at most {self.max_seconds:g} s",
                    next_step="cut the video, or start the page with a larger --max-seconds",
                )
            with self._turn:
                decoded = self.scorer.decoded(path)
                scores = [self.scorer.judge(decoded, video=name, prompt=prompt) for prompt in prompts]
        except MsavqaError as error:
            raise _Told(str(error).replace(str(path), name)) from None
        return {
            "scores": [{**score.to_dict(), "line": score.line()} for score in scores],
            "film": film(decoded.frames, height=FILM_PIXELS),
        }

    def about(self) -> dict[str, Any]:
        """What the page says of the model, its limits and its examples; what is not known is None."""
        found = self.scorer.bundle
        return {
            "mb": self.max_bytes / 1e6,
            "seconds": self.max_seconds,
            "kinds": list(KINDS),
            "dataset": found.dataset,
            "model": found.digest[:12],
            "version": version("msavqa"),
            "verdict": None if found.verdict is None else asdict(found.verdict),
            "mos_range": list(found.calibration.mos_range),
            "trained_seconds": found.reference.range("duration_seconds"),
            "trained_pixels": found.reference.range("short_side"),
            "examples": [
                {"name": one.path.name, "prompt": one.prompt, "mos": one.mos} for one in self.examples
            ],
        }


def writable() -> None:
    """Raises `MsavqaError` where this machine has no folder that an upload could be written to."""
    try:
        with tempfile.TemporaryDirectory(prefix="msavqa-"):
            pass
    except OSError as error:
        raise UploadError(
            what="Folder for uploads",
            where="this machine",
            got=error.strerror or type(error).__name__,
            expected="one that can be written to",
            next_step="name one in TMPDIR and start the page again",
        ) from None


class _Told(Exception):
    """A sentence for the user."""


def app(desk: Desk) -> Starlette:
    """The web application."""

    async def page(request: Request) -> Response:
        return FileResponse(HERE / "page.html", headers=HEADERS, media_type="text/html")

    async def script(request: Request) -> Response:
        return FileResponse(HERE / "page.js", headers=HEADERS, media_type="text/javascript")

    async def style(request: Request) -> Response:
        return FileResponse(HERE / "page.css", headers=HEADERS, media_type="text/css")

    async def limits(request: Request) -> Response:
        return JSONResponse(desk.about(), headers=HEADERS)

    async def example(request: Request) -> Response:
        number = request.path_params["number"]
        if number >= len(desk.examples):
            return JSONResponse({"error": "there is no such example."}, status_code=404, headers=HEADERS)
        return FileResponse(desk.examples[number].path, headers=HEADERS)

    async def score(request: Request) -> Response:
        try:
            return JSONResponse(await _score(request, desk), headers=HEADERS)
        except (_Told, UploadError) as told:
            return JSONResponse({"error": str(told)}, status_code=400, headers=HEADERS)

    routes = [
        Route("/", page),
        Route("/page.js", script),
        Route("/page.css", style),
        Route("/limits", limits),
        Route("/example/{number:int}", example),
        Route("/score", score, methods=["POST"]),
    ]
    trusted = Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False)
    return Starlette(routes=routes, middleware=[trusted])


async def _score(request: Request, desk: Desk) -> dict[str, Any]:
    origin = request.headers.get("origin")
    if origin is not None and origin != str(request.base_url).rstrip("/"):
        raise _Told("another site's page may not score videos here.")
    length = request.headers.get("content-length", "")
    if not length.isdigit():
        raise _Told("the upload does not say how long it is: send it with a browser.")
    around = PROMPTS * PROMPT_CHARACTERS + 10_000  # prompts, the form around the file
    _check_size(int(length), desk, around=around)
    try:
        async with request.form(
            max_files=1, max_fields=PROMPTS, max_part_size=desk.max_bytes + around
        ) as form:
            upload, prompts = form.get("video"), form.getlist("prompt")
            if not isinstance(upload, UploadFile) or not upload.filename:
                raise _Told("no video was sent: choose a file.")
            given = [prompt for prompt in prompts if isinstance(prompt, str)] or [""]
            if (longest := max(map(len, given))) > PROMPT_CHARACTERS:
                raise UploadError(
                    what="Prompt",
                    where="the upload",
                    got=f"{longest} characters",
                    expected=f"at most {PROMPT_CHARACTERS}",
                    next_step="shorten it",
                )
            name = Path(upload.filename.replace("\\", "/")).name
            kind = Path(name).suffix.lower()
            if kind not in KINDS:
                raise UploadError(
                    what="Kind of file",
                    where=name,
                    got=kind or "no ending",
                    expected=f"one of {', '.join(KINDS)}",
                    next_step="choose a video file",
                )
            content = await upload.read()
    except (HTTPException, MultiPartException) as error:
        if str(getattr(error, "detail", "")).startswith("Too many"):
            raise _Told(f"too much was sent: expected one video and at most {PROMPTS} prompts.") from None
        raise _Told("the upload is broken: send it again.") from None
    _check_size(len(content), desk, around=0)
    writable()
    with tempfile.TemporaryDirectory(prefix="msavqa-") as folder:
        path = Path(folder) / f"upload{kind}"
        path.write_bytes(content)
        return await run_in_threadpool(desk.judge, path, name=name, prompts=given)


def _check_size(size: int, desk: Desk, *, around: int) -> None:
    if size > desk.max_bytes + around:
        raise UploadError(
            what="Size",
            where="the upload",
            got=f"{size / 1e6:.4g} MB",
            expected=f"at most {desk.max_bytes / 1e6:g} MB",
            next_step="choose a smaller file, or start the page with a larger --max-mb",
        )
