"""Motion alignment: what a network looks at shall be what moves.

A prediction map P says where and when the aligned layer responds (`prediction_map`, three forms); the target M is the
ST-motion of the same clip; `alignment_terms` compares the two over time and space, over space, and over time.

Source: Li et al., "Motion-Focused Contrastive Learning of Video Representations", ICCV 2021, section 3.3. Where the
equations (3)-(8) and the authors' released code differ, this follows the code, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import permutations
from operator import add

import torch
import torch.nn.functional as F
from torch import Tensor

from vidssl.errors import VidsslError, nearest

# The released target adds the two components of the flow where ours is their mean (2), adds the 4 flows of a time bin
# where ours is per frame (4), and holds flow of +-20 pixels in 8 bits (255 / 40).
RELEASED_ATTENTION_SCALE = 2 * 4 * 255 / 40


def similarity_gradient(similarity: Tensor, maps: Tensor) -> Tensor:
    """Differentiate similarities with respect to their maps, so that the result can be differentiated again.

    Args:
        similarity: float (B,), q . k+ of each clip.
        maps: A, float B x C x T' x H' x W', in the graph of `similarity`.

    Returns:
        G = d(q . k+)/dA, the dtype and shape of `maps`. Where batch statistics tie the clips together, it is the
        gradient of the sum over the batch, as in the released code.
    """
    with torch.autocast(maps.device.type, enabled=False):
        return torch.autograd.grad(similarity.sum(), maps, create_graph=True)[0]


def positive_similarity(anchors: Sequence[Tensor], positives: Sequence[Tensor]) -> Tensor:
    """Add up, for each video, the cosines of every view's embedding with those of the other views.

    The weighted forms differentiate it, for methods whose views are each other's positives.

    Args:
        anchors: V views, each float (B, D), of any length: embeddings, or predictions.
        positives: the same embeddings, or what is predicted, detached where no gradient goes into it.

    Returns:
        float32 (B,) (float64 if the views are), the sum over ordered pairs of different views.
    """
    with torch.autocast(anchors[0].device.type, enabled=False):
        anchors, positives = ([F.normalize(_exact(view), dim=1) for view in views] for views in (anchors, positives))
        pairs = permutations(range(len(anchors)), 2)
        return reduce(add, ((anchors[i] * positives[j]).sum(dim=1) for i, j in pairs))


def prediction_map(form: str, maps: Tensor, gradients: Tensor | None = None) -> Tensor:
    """Reduce maps, their gradients or both to one map per clip.

    Args:
        form: ``feature`` (eq. 3): sum over the channels of A; ``weighted-feature`` (eq. 4 and 5):
            ReLU(sum_c w_c A_c); ``weighted-gradient`` (eq. 6): ReLU(sum_c w_c G_c). The weight w_c is the mean of G_c
            over space, one for each position in time (released code).
        maps: A, floating point B x C x T' x H' x W'.
        gradients: G of the same shape; the weighted forms need it.

    Returns:
        P, float32 (float64 if A is) B x T' x H' x W', even under autocast.

    Raises:
        VidsslError: an unknown form, or a weighted form without gradients.
    """
    if form not in FORMS:
        raise VidsslError(
            f"Unknown form of motion alignment {form!r}.{nearest(form, FORMS)} Known: {', '.join(FORMS)}."
        )
    with torch.autocast(maps.device.type, enabled=False):
        if form not in GRADIENT_FORMS:
            return _exact(maps).sum(dim=1)
        if gradients is None:
            raise VidsslError(f"The form of motion alignment {form!r} needs the gradients of the maps.")
        return GRADIENT_FORMS[form](_exact(maps), _exact(gradients))


def _weighted_feature(maps: Tensor, gradients: Tensor) -> Tensor:
    return (_channel_weights(gradients) * maps).sum(dim=1).relu()


def _weighted_gradient(maps: Tensor, gradients: Tensor) -> Tensor:
    return (_channel_weights(gradients) * gradients).sum(dim=1).relu()


def _channel_weights(gradients: Tensor) -> Tensor:
    return gradients.mean(dim=(3, 4), keepdim=True)


GRADIENT_FORMS = {"weighted-feature": _weighted_feature, "weighted-gradient": _weighted_gradient}
FORMS = ("feature", *GRADIENT_FORMS)


def motion_target(motion: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """Average ST-motion over the cells of the aligned maps.

    Args:
        motion: float B x T x h x w, at least 0.
        grid: T', H', W' of the aligned maps.

    Returns:
        M, float32 (float64 if `motion` is) B x T' x H' x W'.
    """
    return F.adaptive_avg_pool3d(_exact(motion)[:, None], grid)[:, 0]


@torch.no_grad()
def target_distance(targets: Tensor) -> Tensor:
    """Return how different the motion of different videos is: how much there is to learn beyond where it mostly is.

    Args:
        targets: M, float V x B x T' x H' x W', at least 0, V views of B videos.

    Returns:
        A scalar from 0 to 1, the mean of 1 - cos(M_i, M_j) over pairs of videos in both of which something moves, each
        view with its like; 0 where there is no such pair.
    """
    directions = F.normalize(_rescaled(targets.flatten(2)), dim=2)
    num_moving = directions.any(dim=2).sum(dim=1)
    num_pairs = (num_moving * (num_moving - 1)).sum()
    # the square of a sum of unit vectors holds the cosines of all pairs, and of each with itself
    cosines = (directions.sum(dim=1).square().sum(dim=1) - num_moving).sum()
    return torch.where(num_pairs > 0, 1 - cosines / num_pairs.clamp(min=1), 0)


@torch.no_grad()
def map_contrast(prediction: Tensor) -> Tensor:
    """Return the standard deviation of prediction maps over their mean, both over the cells of a map.

    Args:
        prediction: P, float B x T' x H' x W'.

    Returns:
        A scalar, the mean over the maps; a map that is zero counts 0. The cosine of a map with the constant one is
        1 / sqrt(1 + its contrast squared).
    """
    cells = _rescaled(_exact(prediction).flatten(1))
    means = cells.mean(dim=1).abs()
    return torch.where(means > 0, cells.std(dim=1, correction=0) / means, 0).mean()


def alignment_terms(
    prediction: Tensor, target: Tensor, terms: Sequence[str], *, attention_scale: float = RELEASED_ATTENTION_SCALE
) -> dict[str, Tensor]:
    """Compare prediction and target; each term is 1 minus a cosine, half the squared distance of the unit vectors.

    A map that is zero, of a clip in which nothing moves for example, has the cosine 0 with everything, and no gradient.
    Computed in float32 (float64 if the prediction is), whatever autocast says.

    Args:
        prediction: P, float B x T' x H' x W'.
        target: M, of the same shape, at least 0.
        terms: any of ``st`` (eq. 8, with the released code's attention over time: 1 - sum_t a_t cos(P_t, M_t), where
            a is the softmax over t of `attention_scale` times the sum of M_t), ``s`` (1 - cos of the means over time)
            and ``t`` (1 - cos of the sums over space).
        attention_scale: how sharply ``st`` attends to the moments that move most. The default gives the attention of
            the released code, whose motion has other units; 0 gives every moment the same weight.

    Returns:
        Each term's mean over the batch, a scalar from 0 to 2.

    Raises:
        VidsslError: an unknown term, or shapes that differ.
    """
    if prediction.shape != target.shape or prediction.ndim != 4:
        raise VidsslError(
            f"Motion alignment compares two maps B x T' x H' x W', got {tuple(prediction.shape)} and "
            f"{tuple(target.shape)}."
        )
    with torch.autocast(prediction.device.type, enabled=False):
        prediction, target = _exact(prediction), _exact(target)
        return {term: _named_term(term)(prediction, target, attention_scale) for term in terms}


def _spatiotemporal(prediction: Tensor, target: Tensor, attention_scale: float) -> Tensor:
    attention = (attention_scale * target.sum(dim=(2, 3))).softmax(dim=1)
    return 1 - (attention * _cosine(prediction.flatten(2), target.flatten(2))).sum(dim=1).mean()


def _spatial(prediction: Tensor, target: Tensor, attention_scale: float) -> Tensor:
    return 1 - _cosine(prediction.mean(dim=1).flatten(1), target.mean(dim=1).flatten(1)).mean()


def _temporal(prediction: Tensor, target: Tensor, attention_scale: float) -> Tensor:
    return 1 - _cosine(prediction.sum(dim=(2, 3)), target.sum(dim=(2, 3))).mean()


TERMS = {"st": _spatiotemporal, "s": _spatial, "t": _temporal}


def _named_term(term: str) -> Callable[[Tensor, Tensor, float], Tensor]:
    if term not in TERMS:
        raise VidsslError(
            f"Unknown term of motion alignment {term!r}.{nearest(term, TERMS)} Known: {', '.join(TERMS)}."
        )
    return TERMS[term]


def _cosine(left: Tensor, right: Tensor) -> Tensor:
    """Cosine along the last dimension; 0, with zero gradients of every order, where a vector is zero."""
    left, right = _rescaled(left), _rescaled(right)
    energy = left.square().sum(dim=-1) * right.square().sum(dim=-1)
    nonzero = energy > 0
    # the inner where keeps the infinite slope of the root at 0 out of the backward pass, the outer one its 0 x inf
    return torch.where(nonzero, (left * right).sum(dim=-1) * torch.where(nonzero, energy, 1).rsqrt(), 0)


def _rescaled(vectors: Tensor) -> Tensor:
    """Divide by the largest magnitude: products of gradients are so small that their squares would underflow.

    A cosine does not depend on the lengths, so that the divisor needs no gradient.
    """
    largest = vectors.detach().abs().amax(dim=-1, keepdim=True)
    return vectors / torch.where(largest > 0, largest, 1)


def _exact(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
