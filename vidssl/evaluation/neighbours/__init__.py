"""Nearest neighbours among frozen features: exact search, k-NN, retrieval."""

from typing import TYPE_CHECKING

from vidssl.lazy_names import offer

if TYPE_CHECKING:
    from vidssl.evaluation.neighbours.feature_rows import FeatureRows as FeatureRows
    from vidssl.evaluation.neighbours.feature_rows import feature_rows as feature_rows
    from vidssl.evaluation.neighbours.knn import KNN as KNN
    from vidssl.evaluation.neighbours.retrieval import Retrieval as Retrieval
    from vidssl.evaluation.neighbours.search import exact_neighbours as exact_neighbours

offer(
    __name__,
    feature_rows=["FeatureRows", "feature_rows"],
    knn=["KNN"],
    retrieval=["Retrieval"],
    search=["exact_neighbours"],
)
