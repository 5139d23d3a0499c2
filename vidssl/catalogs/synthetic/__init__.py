"""The embedded videos: drawn from a seed, labelled by how a shape moves."""

from typing import TYPE_CHECKING

from vidssl.lazy_names import offer

if TYPE_CHECKING:
    from vidssl.catalogs.synthetic.spec import SyntheticSpec as SyntheticSpec
    from vidssl.catalogs.synthetic.videos import write_synthetic as write_synthetic

offer(
    __name__,
    spec=["SyntheticSpec"],
    videos=["write_synthetic"],
)
