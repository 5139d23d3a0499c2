"""Videos in a bucket, of a server that speaks S3 and runs in this process."""

import os

import numpy as np
import pytest
from numbered_videos import encode
from s3_server import put_folder, s3_bucket

from vidssl.catalogs.catalog import Catalog
from vidssl.catalogs.listing.tar_shards import tar_shards
from vidssl.catalogs.packing.job import PackJob
from vidssl.catalogs.packing.tar_files import write_tar
from vidssl.catalogs.packing.working import finish, pack_share
from vidssl.data.augmentation import CVRL_VIEW_1
from vidssl.data.dataset import ClipDataset
from vidssl.data.sampling import IntervalSampler
from vidssl.jobs.shares import Share
from vidssl.jobs.video_processes import Processes
from vidssl.video.decoding import DecodingError, read_frames


@pytest.fixture
def bucket():
    """A bucket called videos, and a function that puts a file into it."""
    with s3_bucket("videos") as put:
        yield put


def test_shards_in_a_bucket(bucket, tmp_path):
    contents = encode(tmp_path / "v.mp4", "libx264", num_frames=24).read_bytes()
    write_tar(tmp_path / "0.tar", [("a b.mp4", contents), ("a b.json", b'{"label": "run"}')])
    bucket("k/0.tar", (tmp_path / "0.tar").read_bytes())
    bucket("k/v.mp4", contents)
    listing = tar_shards(videos="s3://videos/k/*.tar")
    assert os.fspath(listing.root) == "s3://videos/k"
    assert listing.classes == ["run"]
    expected = read_frames(tmp_path / "v.mp4", [3, 20])
    assert np.array_equal(read_frames(listing.videos[0].place(listing.root), [3, 20]), expected)
    assert np.array_equal(read_frames("s3://videos/k/v.mp4", [3, 20]), expected)
    with pytest.raises(DecodingError, match="no such file"):
        read_frames("s3://videos/k/nowhere.mp4", [0])


def test_clips_from_a_bucket_are_those_from_files(bucket, synthetic_catalog, tmp_path):
    local = Catalog.open(synthetic_catalog)
    job = PackJob(local, tmp_path / "packed", "keep", 60_000)
    pack_share(job, Share(), Processes(1, 60.0))
    finish(job)
    put_folder(bucket, local.root, "files")
    put_folder(bucket, job.output, "shards")
    files = Catalog.open(synthetic_catalog, root="s3://videos/files")
    shards = Catalog.open(job.catalog_file, root="s3://videos/shards")
    assert local.digest == files.digest == shards.digest
    for one, *others in zip(*map(clips, (local, files, shards)), strict=True):
        assert all(np.array_equal(one, other) for other in others)


def clips(catalog):
    """The clips of a few videos of one epoch and of a later one."""
    sampler = IntervalSampler(num_frames=4)
    dataset = ClipDataset(catalog, catalog.split("train"), sampler, [CVRL_VIEW_1, CVRL_VIEW_1], seed=3)
    samples = [dataset[key] for key in [(0, 0), (0, 17), (3, 1)]]
    assert not any(sample.failures for sample in samples)
    return [clip for sample in samples for clip in sample.clips]
