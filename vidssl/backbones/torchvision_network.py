"""Networks of torchvision, with its published weights where they are asked for."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision import models

from vidssl.errors import VidsslError, nearest


def torchvision_network(name: str, weights: str | None) -> nn.Module:
    """Build a classifier of torchvision's.

    Args:
        name: torchvision's name of it.
        weights: a name of torchvision's, such as ``"KINETICS400_V1"`` (downloaded once), or None for random ones.

    Raises:
        VidsslError: the weights' name is unknown, or the download failed.
    """
    network = models.get_model(name, weights=None)
    if weights is not None:
        network.load_state_dict(_downloaded(name, weights))
    return network


def _downloaded(name: str, weights: str) -> dict[str, Tensor]:
    known = models.get_model_weights(name)
    if weights not in known.__members__:
        names = ", ".join(known.__members__)
        raise VidsslError(
            f"torchvision has no weights {weights!r} for {name}.{nearest(weights, known.__members__)} Known: {names}. "
            "For a file, build the backbone without weights and load it with load_weights."
        )
    entry = known[weights]
    try:
        return entry.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # no network, no disk, or a wrong hash
        raise VidsslError(
            f"Cannot get the weights {weights!r} of {name} from {entry.url}: {error}. Check the network, or put the "
            "file into the folder torch.hub.get_dir()/checkpoints yourself."
        ) from error
