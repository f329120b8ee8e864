"""Runs one frozen network over a dataset, once: frames or prompts in, a store of features out.

A thread reads and prepares the next videos while the network works on these. Memory: one shard and
`ahead_videos` prepared videos, whatever the number of videos. Killed at any moment, the next call continues.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msavqa.frames.read import DecodeSettings, ReadFrames, fingerprint
from msavqa.ground.progress import Progress
from msavqa.machine.launch import Launcher, in_turn
from msavqa.store import format, shards, staging
from msavqa.store import read as store
from msavqa.store.format import ArraySpec, prompt_id
from msavqa.store.read import Store
from msavqa.store.shards import ShardDone, WriteReport
from msavqa.trunks.run.feature_rows import ExtractSettings, PromptRows, VideoRows, trunk


def videos(
    path: Path,
    *,
    settings: Any,
    frames: Store,
    read_frames: ReadFrames,
    extract: ExtractSettings,
    shard_mb: int | float,
    description: str = "extract",
    staging_root: Path | None = None,
    launcher: Launcher = in_turn,
) -> WriteReport:
    """Runs the trunk of these settings over every video of frames.zarr and writes the store at `path`.

    A launcher of other processes needs a `read_frames` that pickles, such as `feature_rows.FrameReader`.

    Videos that decoding quarantined stay quarantined, with their reason. One whose decoder hangs or dies here
    (frames that are not stored are decoded again) is quarantined too; the next call tries it again. Raises
    `MsavqaError` where a feature cannot be stored, naming the video.
    """
    made_by: Any = trunk(settings.kind)
    specs: tuple[ArraySpec, ...] = made_by.specs(settings, frames=frames.specs["times_seconds"].shape[0])
    made_of = made_by.fingerprint(settings) | {"decoded": frames.fingerprint}
    root = staging_root or staging.default_root()
    _retire_lost(root / format.staging_name(fingerprint=made_of, specs=specs), frames)
    with Progress(description, total=len(frames), unit="videos") as progress:
        return shards.write(
            path,
            ids=frames.ids,
            sha256s=list(frames.rows["sha256"]),
            specs=specs,
            fingerprint=made_of,
            attributes=made_by.attributes(settings),
            compute=VideoRows(
                settings=settings,
                specs=specs,
                frames=frames,
                read_frames=read_frames,
                extract=extract,
                progress=progress,
            ),
            shard_mb=shard_mb,
            staging_root=root,
            launcher=launcher,
            on_progress=_staged(progress),
        )


def prompts(
    path: Path,
    *,
    settings: Any,
    prompts: Sequence[str],
    extract: ExtractSettings,
    shard_mb: int | float,
    description: str = "extract",
    staging_root: Path | None = None,
    launcher: Launcher = in_turn,
) -> WriteReport:
    """Runs a text trunk over the distinct ones of some prompts and writes the store at `path`.

    A row's id is `prompts.prompt_id`; its columns say the prompt, its tokens and whether the context was too
    short for them (`truncated`). Rows stand in the order in which prompts first come, so that one more at
    the end changes the last shard and no other.
    """
    made_by: Any = trunk(settings.kind)
    distinct = list(dict.fromkeys(prompts))
    ids = [prompt_id(prompt) for prompt in distinct]
    specs: tuple[ArraySpec, ...] = made_by.specs(settings, tokens=made_by.room(settings, distinct))
    with Progress(description, total=len(distinct), unit="prompts") as progress:
        return shards.write(
            path,
            ids=ids,
            sha256s=ids,
            specs=specs,
            fingerprint=made_by.fingerprint(settings),
            attributes=made_by.attributes(settings),
            compute=PromptRows(
                settings=settings, specs=specs, prompts=distinct, extract=extract, progress=progress
            ),
            shard_mb=shard_mb,
            staging_root=staging_root,
            launcher=launcher,
            on_progress=_staged(progress),
        )


def open_frames(path: Path, *, settings: DecodeSettings) -> Store:
    """Opens frames.zarr; raises `StoreError` where other frames lie there than the settings ask for.

    Stored frames may be those of another decoder version, a colleague's; where none are stored, this machine
    decodes again, and what the store says of the decoder must hold for it.
    """
    expect = fingerprint(settings)
    if "frames" in store.open(path).specs:
        del expect["decoder"]
    return store.open(path, expect=expect)


def _retire_lost(folder: Path, frames: Store) -> None:
    """Takes staged shards out of use in which a video is quarantined that has been decoded once: its decoder
    hung or died when frames were read again, which this run may not meet."""
    decoded = set(zip(frames.rows["id"][frames.valid], frames.rows["sha256"][frames.valid], strict=True))
    for key in staging.keys(folder):
        staged = staging.get(folder, key)
        if staged and any(row["error"] and (row["id"], row["sha256"]) in decoded for row in staged.rows):
            staging.retire(folder, key)


def _staged(progress: Progress) -> Callable[[ShardDone], None]:
    """Counts a shard's rows that were not computed just now, and those computed in another process (the
    others were counted as they came)."""
    finished = quarantined = 0

    def tell(done: ShardDone) -> None:
        nonlocal finished, quarantined
        finished, quarantined = finished + done.rows, quarantined + done.quarantined
        progress.keep(done.rows - done.computed, quarantined=quarantined)
        progress.advance(max(0, finished - progress.done))

    return tell
