"""What of a video a viewer sees otherwise than frames are read here: colours, shape, interlacing."""

from av.video.frame import VideoFrame
from av.video.stream import VideoStream

HDR = {16: "smpte2084", 18: "arib-std-b67"}
"""Transfer characteristics of high dynamic range by their number (ITU-T H.273), and ffmpeg's names."""


def of(stream: VideoStream, frame: VideoFrame) -> tuple[str, ...]:
    """One sentence for each, of a stream and its first frame; none for an ordinary video."""
    found = []
    transfer = HDR.get(int(stream.codec_context.color_trc))
    if transfer is not None:
        found.append(f"HDR ({transfer}): its colours are read as an ordinary video's, so it looks pale")
    shape = stream.sample_aspect_ratio
    if shape and shape != 1:
        ratio = f"{shape.numerator}:{shape.denominator}"
        found.append(
            f"pixels that are not square ({ratio}): frames are read as stored, so they look squeezed"
        )
    if frame.interlaced_frame:
        found.append("interlaced: both fields are read as one frame, so what moves looks combed")
    return tuple(found)
