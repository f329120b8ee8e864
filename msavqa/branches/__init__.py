"""One file per idea of quality, a kind of branch: cached features of a batch -> score.

A new kind is one file here and a block under `branches` of params.yaml. It offers, see `branch.Kind`:

    BranchSettings                            the block, with its own `technical` and `loss`
    reads_motion(technical)                   whether it reads the features of `reads.motion`
    technical(technical, features=, motion=)  what the technical half sees, a time or a video
    of_video(scores)                          the video's score of those of its times
    loss(loss, output=, mos=, weight=)        of one batch, mos standardised
    sd_of(loss, score)                        how much one standard deviation of mos is in scores

PSS, SMA, measures, head and training are those of all branches.

A batch is a dict of tensors with the videos first (of a prompt in pieces: these, one after another):

    features      (video, frame or time, width)    the branch's own trunk, one view
    frame_index   (video, frame or time)           which of the video's frames; absent where all are
    motion        (video, time, width)             features of `reads.motion`
    spatial, temporal, change  (video, statistic)  handcrafted measures, see `frame_statistics.GROUPS`
    frames_cls    (video, frame, dim)              CLIP's class token of each frame
    image_tokens  (video, frame, token, width)     input of CLIP's last vision block
    text_cls      (video, dim)                     CLIP's prompt vector
    text_tokens   (video, token, width)            input of CLIP's last text block, up to the longest prompt
    text_length   (video,)                         tokens of each prompt, end of text included
    text_pieces   (video,)                         pieces of each prompt; absent where all are in one
"""
