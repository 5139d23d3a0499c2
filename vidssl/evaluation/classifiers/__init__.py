"""Linear layers and SVMs on frozen features."""

from typing import TYPE_CHECKING

from vidssl.lazy_names import offer

if TYPE_CHECKING:
    from vidssl.evaluation.classifiers.linear import LinearGrid as LinearGrid
    from vidssl.evaluation.classifiers.linear import LinearLayer as LinearLayer
    from vidssl.evaluation.classifiers.linear import LogisticRegression as LogisticRegression
    from vidssl.evaluation.classifiers.svm import LinearSVM as LinearSVM

offer(
    __name__,
    linear=["LinearGrid", "LinearLayer", "LogisticRegression"],
    svm=["LinearSVM"],
)
