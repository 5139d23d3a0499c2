"""What a network knows about time: clips are reordered, repeated or replayed at another speed."""

from typing import TYPE_CHECKING

from vidssl.lazy_names import offer

if TYPE_CHECKING:
    from vidssl.evaluation.temporal.changes import TimeChanges as TimeChanges
    from vidssl.evaluation.temporal.measure import ChangedClips as ChangedClips

offer(
    __name__,
    changes=["TimeChanges"],
    measure=["ChangedClips"],
)
