"""One file a frozen network: prompts or frames in, features at the cut out."""
