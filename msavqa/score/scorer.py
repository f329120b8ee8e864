"""Scores any video with an exported bundle: decode, frozen networks, branches, ensemble, calibration.

    scorer = load("runs/sample/bundle")
    print(scorer.score("some.mp4", "a red ball rolls left").line())

A video is always computed alone, with the same number of threads, so that the same file gives the same score
to the last digit, by itself or in a list; a CPU and a GPU differ in the last digits. Decoding happens in
worker processes with a wall-clock limit.
"""

import os
import weakref
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from numpy.typing import NDArray

from msavqa.bundle import bundle
from msavqa.bundle.bundle import Bundle
from msavqa.bundle.reference import Reference, of_branch
from msavqa.evaluation import change as changes
from msavqa.evaluation import prompt_pieces
from msavqa.evaluation.metrics import frame_change
from msavqa.frames import decode
from msavqa.ground.errors import MsavqaError
from msavqa.learning.output import Output
from msavqa.machine import device as devices
from msavqa.machine.device import Device
from msavqa.machine.processes import Pool
from msavqa.score import cautions, likeness, trained
from msavqa.score.perception import Features, Perception, Reading
from msavqa.score.result import Measure, Moment, Score
from msavqa.score.trained import Branch

DECODE_SECONDS = 60.0
"""Wall-clock limit of decoding one video."""
STILL = 0.02
"""Cosine distance below which neighbouring frames mean the same, for bundles without a threshold."""


class ScoreError(MsavqaError):
    """A decoded video that the networks fail on."""


@dataclass(frozen=True)
class Asked:
    """A video to be scored."""

    video: Path
    prompt: str


class Scorer(AbstractContextManager["Scorer"]):
    """A loaded bundle; keep it to score more than one video. `with` or `close` ends its processes at once.

    Its process keeps the memory that networks free (`msavqa.machine.device.keep_freed`).
    """

    def __init__(
        self,
        found: Bundle,
        *,
        workers: int = 1,
        decode_seconds: float = DECODE_SECONDS,
        device: Device = "auto",
    ) -> None:
        devices.keep_freed()
        self.bundle, self._device = found, devices.chosen(device, setting="--device")
        # A function of decode.py: its workers need not load torch, as they would for one of this module.
        function = partial(decode.decode, frames=found.frames, box=found.box, backend="pyav")
        self._pool: Pool[str, decode.Decoded] = Pool(
            function, workers=workers, timeout_seconds=decode_seconds, what="Video"
        )
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="networks")
        # For who scores one video in one line and keeps nothing: the decoding process goes with the scorer.
        self._end = weakref.finalize(self, _end, self._pool, self._loader)
        self._loading: Future[tuple[Perception, dict[str, Branch]]] | None = None
        self._seen: tuple[NDArray[np.uint8], Features] | None = None
        # Sums depend on the number of threads in their last bits; the environment must not change a score.
        self._threads = os.cpu_count() or 1

    def score(self, video: Path | str, prompt: str) -> Score:
        """The score of one video file; raises an `MsavqaError` where it cannot be decoded."""
        if not isinstance(prompt, str):
            raise TypeError(f"prompt: expected text, '' where there is none, got {type(prompt).__name__}")
        found = next(iter(self.scores([Asked(Path(video), prompt)])))
        if isinstance(found, MsavqaError):
            raise found
        return found

    def ready(self) -> None:
        """Waits until the networks are loaded; raises an `MsavqaError` where the bundle's are not fit."""
        self.networks()

    def networks(self) -> tuple[Perception, dict[str, Branch]]:
        """The frozen networks and, by name, the branches; loaded and raised as by `ready`."""
        return self._networks().result()

    def scores(self, asked: Iterable[Asked]) -> Iterator[Score | MsavqaError]:
        """Scores in the order asked for, or why there is none; the next videos are decoded meanwhile."""
        waiting: list[Asked] = []
        self._networks()

        def paths() -> Iterator[str]:
            for one in asked:
                waiting.append(one)
                yield str(one.video)

        for outcome in self._pool.map(paths()):
            one = waiting.pop(0)
            if outcome.error is not None:
                yield outcome.error
                continue
            try:
                yield self.judge(outcome.result(), video=str(one.video), prompt=one.prompt)
            except ScoreError as error:
                yield error

    def decoded(self, video: Path) -> decode.Decoded:
        """The sampled frames of one video file, to `judge` by several prompts; raises as `score` does."""
        self._networks()
        return next(self._pool.map([str(video)])).result()

    def judge(self, decoded: decode.Decoded, *, video: str, prompt: str) -> Score:
        """The score of frames that are decoded already; `ScoreError` where the networks fail on them."""
        self.ready()
        try:
            return self._judge(decoded, video=video, prompt=prompt)
        except (RuntimeError, ValueError, MemoryError) as error:
            raise ScoreError(
                what="Scoring",
                where=video,
                got=" ".join(f"{type(error).__name__} {error}".split()),
                expected="a score",
                next_step="look at that file, or allow more memory",
            ) from error

    def forward(
        self, frames: NDArray[np.uint8], *, prompt: str
    ) -> tuple[Features, Reading, dict[str, Output]]:
        """What all networks say of frames: features by trunk, how the prompt was read, branch outputs.

        The same array again, for another prompt, is not looked at again.
        """
        perception, branches = self.networks()
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                if self._seen is None or self._seen[0] is not frames:
                    # The fixed view does not depend on the id: a file under another name has the same score.
                    self._seen = frames, perception.see(frames, video_id="")
                text, reading = perception.read(prompt)
                features = {**self._seen[1], **text}
                return features, reading, {name: branch(features) for name, branch in branches.items()}
        finally:
            torch.set_num_threads(before)

    def close(self) -> None:
        """Ends the decoding processes."""
        self._end()

    def __enter__(self) -> "Scorer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _judge(self, decoded: decode.Decoded, *, video: str, prompt: str) -> Score:
        features, reading, outputs = self.forward(decoded.frames, prompt=prompt)
        own = {name: float(output.score[0]) for name, output in outputs.items()}
        raw = float(self.bundle.ensemble.combine({name: np.array([value]) for name, value in own.items()})[0])
        fitted, known = self.bundle.calibration, self.bundle.reference
        distance, share = likeness.of(self.bundle, features)
        bound = self.bundle.familiarity_bound
        unlike = share is not None and bound is not None and share <= bound
        low, high = fitted.interval(np.array([raw]), distance=np.array([distance]), unlike=np.array([unlike]))
        frames_cls = features[self.bundle.clip_image]["cls"][0]
        alignment = frames_cls @ self._prompt(features) if prompt.strip() else None
        change = frame_change(frames_cls)
        consistency = float(1 - change[1:].mean()) if len(change) > 1 else 1.0
        timeline = _timeline(decoded, change, alignment, outputs)
        moment = _moment(change, self.bundle.change_threshold)
        return Score(
            video=video,
            prompt=prompt,
            prompt_pieces=reading.pieces,
            score=float(fitted.mos(np.array([raw]))[0]),
            low=float(low[0]),
            high=float(high[0]),
            coverage=fitted.coverage,
            mos_range=fitted.mos_range,
            branches={name: _measure(known, of_branch(name), value) for name, value in own.items()},
            weights=dict(zip(self.bundle.ensemble.branches, self.bundle.ensemble.weights, strict=True)),
            raw=raw,
            alignment=None if alignment is None else _measure(known, "alignment", float(alignment.mean())),
            consistency=_measure(known, "consistency", consistency),
            timeline=timeline,
            mutation_seconds=None if moment is None else timeline[moment].seconds,
            change_threshold=self.bundle.change_threshold,
            familiarity=share,
            familiarity_bound=bound,
            verdict=None if self.bundle.verdict is None else self.bundle.verdict.sentence,
            warnings=(
                *cautions.of_likeness(self.bundle, share=share),
                *cautions.of(decoded, self.bundle, prompt=prompt, reading=reading, own=own, raw=raw),
                *cautions.of_versions(self.networks()[0].versions),
            ),
            decoder=decoded.backend,
            dataset=self.bundle.dataset,
            model=self.bundle.digest,
            dimensions=trained.dimensions(self.bundle, outputs, distance=distance, unlike=unlike),
        )

    def _prompt(self, features: Features) -> NDArray[np.float32]:
        """The prompt's vector (dim,) that alignment is measured by; of several pieces as in the reference."""
        text, settings = features[self.bundle.clip_text]["cls"], self.bundle.texts[self.bundle.clip_text]
        joined = prompt_pieces.joined(
            pieces=text[None],
            held=np.ones((1, len(text)), dtype=bool),
            frames=features[self.bundle.clip_image]["cls"],
            sharpness=settings["pieces"]["sharpness"] if settings["pieces"] else 0.0,
            spread=self.bundle.cosine_spread or 1.0,
        )
        found: NDArray[np.float32] = joined[0].astype(np.float32, copy=False)
        return found

    def _networks(self) -> "Future[tuple[Perception, dict[str, Branch]]]":
        # Loaded beside the decoding of the first video, which takes about as long to start.
        if self._loading is None:
            self._loading = self._loader.submit(_networks, self.bundle, self._device)
        return self._loading


def _end(pool: Pool[str, decode.Decoded], loader: ThreadPoolExecutor) -> None:
    pool.close()
    loader.shutdown(wait=False, cancel_futures=True)  # a finaliser may run in the loader's own thread


def load(
    path: Path | str, *, workers: int = 1, decode_seconds: float = DECODE_SECONDS, device: Device = "auto"
) -> Scorer:
    """A scorer of the bundle in this folder, on a GPU where there is one unless `device` says otherwise.

    There it switches cuDNN's TF32 off for the whole process, see `devices.chosen`.
    Raises `MsavqaError` where the bundle is not as it was exported or the GPU is missing.
    """
    return Scorer(bundle.load(path), workers=workers, decode_seconds=decode_seconds, device=device)


def _networks(found: Bundle, device: torch.device) -> tuple[Perception, dict[str, Branch]]:
    with bundle.understood(found.path):
        perception = Perception.load(found, device=device.type)
        return perception, {
            name: trained.load(found, name, device=device) for name in found.ensemble.branches
        }


def _moment(change: NDArray[np.float64], threshold: float | None) -> int | None:
    """The frame at which the meaning changes; without a threshold that of the largest step, if it is one."""
    if threshold is not None:
        return changes.first(change, threshold=threshold)
    peak = int(np.argmax(change))
    return peak if change[peak] > STILL else None


def _measure(known: Reference, name: str, value: float) -> Measure:
    return Measure(value=value, share_below=known.share_below(name, value))


def _timeline(
    decoded: decode.Decoded,
    change: NDArray[np.float64],
    alignment: NDArray[np.float32] | None,
    outputs: Mapping[str, Output],
) -> tuple[Moment, ...]:
    count = len(decoded.frames)
    looks = [one.attention[0] for one in outputs.values() if one.attention is not None]
    attention = torch.stack(looks).mean(dim=0).tolist() if looks else None
    each = [one.frame_scores[0].tolist() for one in outputs.values() if one.frame_scores is not None]
    scores = next((of_frames for of_frames in each if len(of_frames) == count), None)
    return tuple(
        Moment(
            seconds=float(decoded.times_seconds[place]),
            change=float(change[place]),
            attention=None if attention is None else attention[place],
            alignment=None if alignment is None else float(alignment[place]),
            score=None if scores is None else scores[place],
        )
        for place in range(count)
    )
