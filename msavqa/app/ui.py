"""`msavqa ui`: a page on this machine that scores what is dropped on it."""

from pathlib import Path
from typing import Annotated

import typer

from msavqa.app.score import default_model
from msavqa.machine.device import Device

HELP = "Serve a page on this machine: drop a video, type a prompt, get the score."
EXAMPLES = """\b
Examples:
  msavqa ui
  msavqa ui --port 9000 --max-mb 200 --model my-model

`make ui` in the checkout installs what it needs and starts it. Only this machine can reach the page."""


def command(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")
    ] = 8765,
    model: Annotated[Path | None, typer.Option(help="A bundle's folder.", show_default=False)] = None,
    device: Annotated[
        Device, typer.Option(help="Where the networks run; `auto` takes a GPU where torch sees one.")
    ] = "auto",
    max_mb: Annotated[float, typer.Option(min=0.1, help="Largest upload.")] = 64.0,
    max_seconds: Annotated[float, typer.Option(min=0.1, help="Longest video.")] = 60.0,
) -> None:
    """Serves until it is interrupted; see HELP."""
    import socket

    from msavqa.ground.errors import MsavqaError

    try:
        import uvicorn

        from msavqa.app import examples, page
    except ModuleNotFoundError as error:
        raise MsavqaError(
            what="Web page",
            where="msavqa ui",
            got=f"no module {error.name!r}",
            expected="the packages of the extra `ui`",
            next_step="run `make ui` in the checkout, or `pip install python-multipart starlette uvicorn`",
        ) from None
    from msavqa.score import scorer as score

    page.writable()
    with score.load(model or default_model(), device=device) as scorer, socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen()  # before the address is printed: who connects at once waits, and is not refused
        except OSError as error:
            raise MsavqaError(
                what="Port",
                where="127.0.0.1",
                got=f"{port}: {error.strerror}",
                expected="a free one",
                next_step="choose another --port",
            ) from None
        scorer.ready()  # a bundle that is unfit shows now, not at the first upload
        print(f"http://127.0.0.1:{listener.getsockname()[1]}  (Ctrl-C ends it)", flush=True)
        offered = examples.of_project(Path(), dataset=scorer.bundle.dataset, kinds=page.KINDS)
        with page.Desk(scorer, max_mb=max_mb, max_seconds=max_seconds, examples=offered) as desk:
            config = uvicorn.Config(page.app(desk), log_level="warning", access_log=False)
            uvicorn.Server(config).run(sockets=[listener])
