"""One batch's gradient: at once, in parts for want of memory, or by several processes; always the same step.

The losses of Eqs. 6-7 compare the videos of a batch, so scores are gathered before the loss.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from msavqa.learning.branch_parts import Output
from msavqa.learning.ranks import Ranks

Places = npt.NDArray[np.int64]


def add(
    model: nn.Module,
    *,
    forward: Callable[[Places], Output],
    videos: int,
    loss: Callable[[Output], Tensor],
    parts: int,
    seed: Sequence[int],
    device: torch.device,
    ranks: Ranks,
) -> float:
    """Adds the gradient of one batch's loss to the parameters; gives the loss.

    `forward` scores the videos at some places of the batch, 0..`videos`-1; `parts` is of each process. In
    parts: scores of all parts first, without gradients; then each part again with them, its scores in their
    place among the others'. The parts' gradients sum up to the whole batch's exactly. Dropout of a part is
    drawn from `seed` and the part's number, so it is the same in both passes, whichever process computes it.
    """
    count = min(videos, ranks.count * parts)
    places = np.array_split(np.arange(videos), count)
    if count == 1:
        value = loss(forward(places[0]))
        torch.autograd.backward(value)
        return float(value.detach())

    def scores(number: int) -> tuple[Tensor, Tensor]:
        torch.manual_seed(int(np.random.SeedSequence([*seed, number]).generate_state(1, np.uint64)[0] >> 1))
        output = forward(places[number])
        # The second is empty where a branch does not score frames.
        return output.score, torch.zeros(0) if output.frame_scores is None else output.frame_scores

    mine = list(range(count))[ranks.rank :: ranks.count]
    known: dict[int, tuple[Tensor, Tensor]] = {}
    with torch.no_grad():
        for number in mine:
            score, frames = scores(number)
            known[number] = (score.cpu(), frames.cpu())
    for others in ranks.gather(known):
        known.update(others)
    value = torch.zeros(())
    for number in mine:
        live = {**known, number: scores(number)}
        score = torch.cat([live[one][0].to(device) for one in range(count)])
        frames = torch.cat([live[one][1].to(device) for one in range(count)])
        value = loss(Output(score=score, frame_scores=frames if len(frames) else None, attention=None))
        torch.autograd.backward(value)
    ranks.sum_gradients(model)
    return float(ranks.gather(float(value.detach()))[0])
