"""Parts that several objectives share: heads, momentum encoder, queue of keys, rows of all processes."""

from typing import TYPE_CHECKING

from vidssl.lazy_names import offer

if TYPE_CHECKING:
    from vidssl.nn.clip_input import ClipInput as ClipInput
    from vidssl.nn.clip_input import frozen_features as frozen_features
    from vidssl.nn.gather import gather as gather
    from vidssl.nn.gather import gather_with_gradients as gather_with_gradients
    from vidssl.nn.gather import mean_over_processes as mean_over_processes
    from vidssl.nn.gather import rank as rank
    from vidssl.nn.gather import world_size as world_size
    from vidssl.nn.heads import ParallelHeads as ParallelHeads
    from vidssl.nn.heads import mlp_head as mlp_head
    from vidssl.nn.key_queue import KeyQueue as KeyQueue
    from vidssl.nn.lars import LARS as LARS
    from vidssl.nn.momentum_encoder import MomentumEncoder as MomentumEncoder
    from vidssl.nn.schedules import rising_momentum as rising_momentum
    from vidssl.nn.schedules import warmup_cosine as warmup_cosine
    from vidssl.nn.shuffled_norm import encode_shuffled as encode_shuffled
    from vidssl.nn.sync_batch_norm import LayerSync as LayerSync
    from vidssl.nn.sync_batch_norm import SyncBatchNorm as SyncBatchNorm
    from vidssl.nn.sync_batch_norm import synchronised as synchronised

offer(
    __name__,
    clip_input=["ClipInput", "frozen_features"],
    gather=["gather", "gather_with_gradients", "mean_over_processes", "rank", "world_size"],
    heads=["ParallelHeads", "mlp_head"],
    key_queue=["KeyQueue"],
    lars=["LARS"],
    momentum_encoder=["MomentumEncoder"],
    schedules=["rising_momentum", "warmup_cosine"],
    shuffled_norm=["encode_shuffled"],
    sync_batch_norm=["LayerSync", "SyncBatchNorm", "synchronised"],
)
