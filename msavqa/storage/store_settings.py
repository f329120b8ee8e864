"""The block `store` of params.yaml: how large the files of a store are."""

from pydantic import Field

from msavqa.params import Settings


class StoreSettings(Settings):
    """Shared by the stages that write stores; no value here changes what a store holds."""

    shard_mb: float = Field(gt=0)  # MiB of one shard before compression: what a killed worker loses at most
