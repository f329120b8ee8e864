"""The branches' losses (Eqs. 4-7) as pure functions of score, mos and row weight.

Everything is keyword-only and strictly (video,) shaped: a (video, 1) label would broadcast against a
(video,) score into a matrix, silently, and a rank loss of it is zero or an absolute error in disguise. `mos`
is the standardised label that training uses, `weight` a positive number a row: weight 2 counts as the row
given twice.
"""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from msavqa.ground.errors import MsavqaError


def frame_loss(
    *,
    frame_scores: Float[Tensor, "..."],
    mos: Float[Tensor, "..."],
    weight: Float[Tensor, "..."],
    beta: float,
) -> Float[Tensor, ""]:
    """Eq. 4: smooth-L1 of every frame's score (video, frame) against its video's mos (video,).

    |d| - beta/2 where |d| >= beta, d^2 / (2 beta) below, d = frame score - mos; mean over frames, weighted
    mean over videos.
    """
    if frame_scores.ndim != 2 or mos.shape != frame_scores.shape[:1] or weight.shape != mos.shape:
        raise _shapes("frame loss", (frame_scores, mos, weight), "(video, frame), (video,) and (video,)")
    each = functional.smooth_l1_loss(
        frame_scores, mos[:, None].expand_as(frame_scores), beta=beta, reduction="none"
    )
    return (each.mean(dim=1) * weight).sum() / weight.sum()


def mae_loss(
    *, score: Float[Tensor, "..."], mos: Float[Tensor, "..."], weight: Float[Tensor, "..."]
) -> Float[Tensor, ""]:
    """Eq. 5: mean absolute error, weighted over videos."""
    _check("mean absolute error", score, mos, weight)
    return ((score - mos).abs() * weight).sum() / weight.sum()


def rank_loss(
    *, score: Float[Tensor, "..."], mos: Float[Tensor, "..."], weight: Float[Tensor, "..."], margin: float
) -> Float[Tensor, ""]:
    """Eq. 6: mean over all ordered pairs of max(0, margin |mos_i - mos_j| - e_ij (score_i - score_j)).

    e_ij = 1 where mos_i >= mos_j, else -1 (the form of SimpleVQA, which the segment branch follows). With
    `margin` 1 the loss is zero exactly when every pair is ordered rightly by at least its gap in mos; with 0
    it is a plain hinge that any right order satisfies. A tie in mos costs |score_i - score_j| over its two
    orders, so ties are drawn together. Pair weights are products; the diagonal, always zero, is counted in
    the mean, as the equation's 1/N^2 says.
    """
    _check("rank loss", score, mos, weight)
    gap = mos[:, None] - mos[None, :]
    sign = (gap >= 0).to(score.dtype) * 2 - 1
    each = functional.relu(margin * gap.abs() - sign * (score[:, None] - score[None, :]))
    pair = weight[:, None] * weight[None, :]
    return (each * pair).sum() / pair.sum()


def segment_loss(
    *,
    score: Float[Tensor, "..."],
    mos: Float[Tensor, "..."],
    weight: Float[Tensor, "..."],
    margin: float,
    rank_weight: float,
) -> Float[Tensor, ""]:
    """The segment branch's loss: Eq. 5 + rank_weight x Eq. 6."""
    return mae_loss(score=score, mos=mos, weight=weight) + rank_weight * rank_loss(
        score=score, mos=mos, weight=weight, margin=margin
    )


def plcc_loss(
    *, score: Float[Tensor, "..."], mos: Float[Tensor, "..."], weight: Float[Tensor, "..."], epsilon: float
) -> Float[Tensor, ""]:
    """Eq. 7: 1 - PLCC of the batch, in 0..2, weighted over videos.

    `epsilon` keeps the denominator from zero where all scores agree (a fresh head); it is added to each
    variance, so that the loss of a constant score is 1 with a finite gradient.
    """
    _check("1 - PLCC", score, mos, weight)
    share = weight / weight.sum()
    score_away, mos_away = score - (share * score).sum(), mos - (share * mos).sum()
    covariance = (share * score_away * mos_away).sum()
    variances = ((share * score_away**2).sum() + epsilon) * ((share * mos_away**2).sum() + epsilon)
    return 1 - covariance / variances.sqrt()


def copy_loss(
    *,
    original: Float[Tensor, "..."],
    copy: Float[Tensor, "..."],
    margin: Float[Tensor, "..."],
    sd: Float[Tensor, ""] | float,
) -> Float[Tensor, ""]:
    """Mean over pairs of max(0, margin - (original - copy) / sd): a spoilt copy must score below its video.

    All are (pair,); `margin` is in standard deviations of MOS, and `sd` says what one is in scores. Not the
    paper's.
    """
    _check("ranking of copies", original, copy, margin)
    return functional.relu(margin - (original - copy) / sd).mean()


def _check(name: str, score: Tensor, mos: Tensor, weight: Tensor) -> None:
    if score.ndim != 1 or mos.shape != score.shape or weight.shape != score.shape:
        raise _shapes(name, (score, mos, weight), "three of (video,)")


def _shapes(name: str, tensors: tuple[Tensor, ...], expected: str) -> MsavqaError:
    return MsavqaError(
        what="Shapes",
        where=f"the {name}",
        got=" and ".join(str(tuple(tensor.shape)) for tensor in tensors),
        expected=expected,
        next_step="squeeze or index the last axis away where the score and the label are made",
    )
