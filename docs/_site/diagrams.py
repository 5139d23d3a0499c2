"""The diagrams of the methods and of the rooms; `python docs/_site/diagrams.py` writes them anew as SVG files."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from drawing import Arrow, Box, Drawing

DOCS = Path(__file__).resolve().parents[1]


def _chain(*names: str, dashed: bool = False) -> list[Arrow]:
    return [Arrow(start, end, dashed=dashed) for start, end in pairwise(names)]


def _two_clips(first: str, second: str, *, note: str = "") -> dict[str, Box]:
    """Return the video and its two clips."""
    return {
        "video": Box(0, 0.5, ("video", *([note] if note else []))),
        "clip1": Box(1, 0, (first, "augmented")),
        "clip2": Box(1, 1, (second, "augmented")),
    }


CLIPS = [Arrow("video", "clip1"), Arrow("video", "clip2")]


def _contrasted(title: str, note: str, loss: tuple[str, str]) -> Drawing:
    boxes = {
        **_two_clips("clip 1", "clip 2", note=note),
        "backbone": Box(2, 0.5, ("backbone", "3D network"), "learns"),
        "head": Box(3, 0.5, ("head", "thrown away later"), "learns"),
        "embedding1": Box(4, 0, ("embedding 1", "length 1")),
        "embedding2": Box(4, 1, ("embedding 2", "length 1")),
        "loss": Box(5, 0.5, loss, "loss"),
        "others": Box(5, 1.6, ("other videos", "of all processes")),
    }
    arrows = [
        *CLIPS,
        *(Arrow(clip, "backbone") for clip in ("clip1", "clip2")),
        Arrow("backbone", "head"),
        *(Arrow("head", name) for name in ("embedding1", "embedding2")),
        *(Arrow(name, "loss") for name in ("embedding1", "embedding2")),
        Arrow("others", "loss", "negatives"),
    ]
    return Drawing(title, boxes, arrows)


cvrl = _contrasted(
    "CVRL: two clips of a video, a drawn interval apart, contrasted with the clips of all other videos",
    "interval drawn",
    ("InfoNCE", "both directions"),
)
simclr = _contrasted(
    "SimCLR: two clips of a video, contrasted with the clips of all other videos",
    "or more clips",
    ("NT-Xent", "mean over pairs"),
)

moco = Drawing(
    "MoCo: a query is contrasted with a key of the momentum encoder and a queue of earlier keys",
    {
        **_two_clips("query clip", "key clip"),
        "network": Box(2, 0, ("backbone + head", "learns"), "learns"),
        "momentum": Box(2, 1, ("backbone + head", "follows slowly"), "follows"),
        "query": Box(3, 0, ("query", "length 1")),
        "key": Box(3, 1, ("key", "length 1")),
        "queue": Box(4.45, 1, ("queue of keys", "of earlier steps")),
        "loss": Box(4.45, 0, ("InfoNCE", "1 key, K negatives"), "loss"),
    },
    [
        *CLIPS,
        *_chain("clip1", "network", "query", "loss"),
        *_chain("clip2", "momentum", "key", dashed=True),
        Arrow("network", "momentum", "moving average", dashed=True),
        Arrow("key", "loss", "positive", dashed=True),
        Arrow("key", "queue", dashed=True),
        Arrow("queue", "loss", "negatives", dashed=True),
    ],
)

mcl = Drawing(
    "MCL: MoCo with three keys, clips and crops chosen by motion, and alignment of the gradient with the motion",
    {
        "video": Box(0, 0.5, ("video",)),
        "motion": Box(0, 3, ("motion", "codec or flow")),
        "query_clip": Box(1, 0, ("query clip", "time, crop: motion")),
        "key_clips": Box(1, 1, ("3 key clips", "same, two others")),
        "network": Box(2, 0, ("backbone + heads", "learns"), "learns"),
        "momentum": Box(2, 1, ("backbone + heads", "follows slowly"), "follows"),
        "query": Box(3, 0, ("query", "length 1")),
        "keys": Box(3, 1, ("keys", "length 1")),
        "prediction": Box(3, 2, ("prediction map", "from d(q·k) / dA")),
        "target": Box(3, 3, ("motion of query", "same crop and flip")),
        "contrast": Box(4.5, 0, ("inter + intra", "queue, own clips"), "loss"),
        "queue": Box(4.5, 1, ("queue of keys", "of earlier steps")),
        "alignment": Box(4.5, 2.5, ("alignment", "1 - cos: st, s, t"), "loss"),
    },
    [
        Arrow("video", "query_clip"),
        Arrow("video", "key_clips"),
        Arrow("video", "motion", "once"),
        *_chain("query_clip", "network", "query", "contrast"),
        *_chain("key_clips", "momentum", "keys", dashed=True),
        Arrow("network", "momentum", "moving average", dashed=True),
        Arrow("keys", "contrast", dashed=True),
        Arrow("keys", "queue", dashed=True),
        Arrow("queue", "contrast", "negatives", dashed=True),
        Arrow("keys", "prediction", "with the query"),
        Arrow("prediction", "alignment"),
        Arrow("motion", "target", dashed=True),
        Arrow("target", "alignment", dashed=True),
    ],
)

byol = Drawing(
    "BYOL: a predictor of the network that learns predicts the embedding of a slowly following network",
    {
        **_two_clips("clip 1", "clip 2"),
        "network": Box(2, 0, ("backbone + head", "learns"), "learns"),
        "momentum": Box(2, 1, ("backbone + head", "follows slowly"), "follows"),
        "predictor": Box(3, 0, ("predictor", "learns"), "learns"),
        "target": Box(3, 1, ("target", "no gradient")),
        "loss": Box(4, 0.5, ("2 - 2 cos", "then clips swapped"), "loss"),
    },
    [
        *CLIPS,
        *_chain("clip1", "network", "predictor", "loss"),
        *_chain("clip2", "momentum", "target", "loss", dashed=True),
        Arrow("network", "momentum", "moving average", dashed=True),
    ],
)

simsiam = Drawing(
    "SimSiam: a predictor predicts the other clip's embedding, into which no gradient goes",
    {
        **_two_clips("clip 1", "clip 2"),
        "network": Box(2, 0.5, ("backbone + head", "the same for both"), "learns"),
        "predictor": Box(3, 0, ("predictor", "learns"), "learns"),
        "target": Box(3, 1, ("embedding 2", "no gradient")),
        "loss": Box(4, 0.5, ("- cos", "then clips swapped"), "loss"),
    },
    [
        *CLIPS,
        Arrow("clip1", "network"),
        Arrow("clip2", "network"),
        Arrow("network", "predictor"),
        Arrow("network", "target", dashed=True),
        Arrow("predictor", "loss"),
        Arrow("target", "loss", dashed=True),
    ],
)

vicreg = Drawing(
    "VICReg: two embeddings are pulled together, and their dimensions kept spread out and uncorrelated",
    {
        **_two_clips("clip 1", "clip 2"),
        "network": Box(2, 0.5, ("backbone", "the same for both"), "learns"),
        "expander": Box(3, 0.5, ("expander", "thrown away later"), "learns"),
        "invariance": Box(4, -0.2, ("invariance", "squared difference"), "loss"),
        "variance": Box(4, 0.5, ("variance", "at least 1"), "loss"),
        "covariance": Box(4, 1.2, ("covariance", "off-diagonal: 0"), "loss"),
    },
    [
        *CLIPS,
        Arrow("clip1", "network"),
        Arrow("clip2", "network"),
        Arrow("network", "expander"),
        *(Arrow("expander", term) for term in ("invariance", "variance", "covariance")),
    ],
)

swav = Drawing(
    "SwAV: the cluster of one clip is predicted from the other; Sinkhorn-Knopp makes clusters equally large",
    {
        **_two_clips("clip 1", "clip 2"),
        "network": Box(2, 0.5, ("backbone + head", "the same for both"), "learns"),
        "prototypes": Box(3, 0.5, ("prototypes", "learn"), "learns"),
        "prediction": Box(4, 0, ("prediction 1", "softmax")),
        "code": Box(4, 1, ("code 2", "Sinkhorn-Knopp")),
        "loss": Box(5, 0.5, ("cross-entropy", "then clips swapped"), "loss"),
    },
    [
        *CLIPS,
        Arrow("clip1", "network"),
        Arrow("clip2", "network"),
        Arrow("network", "prototypes"),
        Arrow("prototypes", "prediction"),
        Arrow("prototypes", "code", dashed=True),
        Arrow("prediction", "loss"),
        Arrow("code", "loss", dashed=True),
    ],
)

rooms = Drawing(
    "The rooms of vidssl in the order in which a video travels through them",
    {
        "video": Box(0, 0, ("video/", "read frames")),
        "catalogs": Box(1, 0, ("catalogs/", "list, probe")),
        "motion": Box(2, 0, ("motion/", "flow, maps")),
        "data": Box(3, 0, ("data/", "clips, batches")),
        "backbones": Box(4, 0, ("backbones/", "networks")),
        "losses": Box(4, 1, ("nn/, losses/", "parts of methods"), "learns"),
        "objectives": Box(3, 1, ("objectives/", "methods"), "learns"),
        "evaluation": Box(2, 1, ("evaluation/", "measure"), "loss"),
        "reporting": Box(1, 1, ("reporting/", "show"), "loss"),
        "cli": Box(0, 1, ("cli/", "one verb, one file")),
    },
    _chain(
        *("video", "catalogs", "motion", "data", "backbones"),
        *("losses", "objectives", "evaluation", "reporting", "cli"),
    ),
)

DIAGRAMS = {
    "gallery/cvrl.svg": cvrl,
    "gallery/mcl.svg": mcl,
    "gallery/moco.svg": moco,
    "gallery/simclr.svg": simclr,
    "gallery/byol.svg": byol,
    "gallery/simsiam.svg": simsiam,
    "gallery/vicreg.svg": vicreg,
    "gallery/swav.svg": swav,
    "rooms.svg": rooms,
}

if __name__ == "__main__":
    for name, drawing in DIAGRAMS.items():
        (DOCS / name).write_text(drawing.svg())
