"""One file an idea of quality: cached features of a batch -> score.

Every branch has the same surface, so that one training loop serves all:

    BranchSettings                            the block `branches.<name>` of params.yaml
    inputs(settings)                          batch key -> (trunk, arrays of which its store holds one)
    Branch(settings, shapes=, backbone=, text_tail=, image_tail=)    the module: a batch -> `Output`
    loss(settings, output=, mos=, weight=)    of one batch, mos standardised

`backbone` maps the batch's `features` to (video, time, width): identity for a pooled cut, a trainable last
stage or network below it otherwise. The tails are CLIP's frozen last blocks.

A batch is a dict of tensors with the videos first:

    features      (video, frame or time, width)    the branch's own trunk, one view
    motion        (video, time, width)             the segment branch's motion features
    spatial, temporal, change  (video, statistic)  handcrafted measures, see `frame_statistics.GROUPS`
    frames_cls    (video, frame, dim)              CLIP's class token of each frame
    image_tokens  (video, frame, token, width)     input of CLIP's last vision block
    text_cls      (video, dim)                     CLIP's prompt vector
    text_tokens   (video, token, width)            input of CLIP's last text block, up to the longest prompt
    text_length   (video,)                         tokens of each prompt, end of text included
"""
