"""Losses as free functions of tensors."""

from typing import TYPE_CHECKING

from vidssl.lazy_names import offer

if TYPE_CHECKING:
    from vidssl.losses.collapse import effective_rank as effective_rank
    from vidssl.losses.collapse import embedding_std as embedding_std
    from vidssl.losses.info_nce import InfoNCEOutput as InfoNCEOutput
    from vidssl.losses.info_nce import alignment as alignment
    from vidssl.losses.info_nce import info_nce as info_nce
    from vidssl.losses.info_nce import uniformity as uniformity
    from vidssl.losses.motion_alignment import alignment_terms as alignment_terms
    from vidssl.losses.motion_alignment import motion_target as motion_target
    from vidssl.losses.motion_alignment import positive_similarity as positive_similarity
    from vidssl.losses.motion_alignment import prediction_map as prediction_map
    from vidssl.losses.motion_alignment import similarity_gradient as similarity_gradient
    from vidssl.losses.prediction import negative_cosine as negative_cosine
    from vidssl.losses.prediction import normalised_regression as normalised_regression
    from vidssl.losses.queue_info_nce import ContrastOutput as ContrastOutput
    from vidssl.losses.queue_info_nce import clip_info_nce as clip_info_nce
    from vidssl.losses.queue_info_nce import queue_info_nce as queue_info_nce
    from vidssl.losses.swapped_assignment import AssignmentOutput as AssignmentOutput
    from vidssl.losses.swapped_assignment import sinkhorn as sinkhorn
    from vidssl.losses.swapped_assignment import swapped_assignment as swapped_assignment
    from vidssl.losses.temporal_order import order_label as order_label
    from vidssl.losses.temporal_order import order_loss as order_loss
    from vidssl.losses.vicreg import VICRegTerms as VICRegTerms
    from vidssl.losses.vicreg import vicreg_terms as vicreg_terms

offer(
    __name__,
    collapse=["effective_rank", "embedding_std"],
    info_nce=["InfoNCEOutput", "alignment", "info_nce", "uniformity"],
    motion_alignment=[
        "alignment_terms",
        "motion_target",
        "positive_similarity",
        "prediction_map",
        "similarity_gradient",
    ],
    prediction=["negative_cosine", "normalised_regression"],
    queue_info_nce=["ContrastOutput", "clip_info_nce", "queue_info_nce"],
    swapped_assignment=["AssignmentOutput", "sinkhorn", "swapped_assignment"],
    temporal_order=["order_label", "order_loss"],
    vicreg=["VICRegTerms", "vicreg_terms"],
)
