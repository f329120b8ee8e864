"""The sample world: prompts, videos, ratings and small pre-trained networks, all made from one seed."""
