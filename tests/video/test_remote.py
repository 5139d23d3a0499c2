"""Videos that URLs name: the same frames, few requests, and words for what goes wrong."""

import io
import tarfile

import fsspec
import numpy as np
import pytest
from numbered_videos import encode, numbers_shown
from range_server import serving

from vidssl.catalogs.catalog import Catalog
from vidssl.catalogs.listing.tar_shards import tar_shards
from vidssl.catalogs.packing.job import PackJob
from vidssl.catalogs.packing.working import finish, pack_share
from vidssl.catalogs.preparation import prepare
from vidssl.catalogs.probing import ProbeOptions
from vidssl.data.augmentation import CVRL_VIEW_1
from vidssl.data.dataset import ClipDataset
from vidssl.data.sampling import IntervalSampler
from vidssl.errors import VidsslError
from vidssl.jobs.shares import Share
from vidssl.jobs.video_processes import Processes
from vidssl.video import remote
from vidssl.video.decoding import DecodingError, available_decoders, probe, read_frames
from vidssl.video.places import open_place
from vidssl.video.remote import FetchError, UrlFolder, join


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch):
    monkeypatch.setattr(remote, "FIRST_WAIT_SECONDS", 0.01)
    remote.forget_remote_files()
    yield
    remote.forget_remote_files()


@pytest.fixture
def served(tmp_path):
    """A folder with a video, alone and in a larger file; its URL, and what the server should do wrong."""
    contents = encode(tmp_path / "a b.mp4", "libx264", num_frames=24).read_bytes()
    (tmp_path / "x.tar").write_bytes(b"\x01" * 512 + contents + b"\x02" * 512)
    with serving(tmp_path) as (url, failures):
        yield url, failures, f"{url}/x.tar::512+{len(contents)}::a b.mp4"


@pytest.mark.parametrize("decoder", ["pyav", "opencv", "decord"])
def test_frames_over_http(served, tmp_path, decoder):
    if decoder not in available_decoders():
        pytest.skip(f"{decoder} is not installed")
    url, _, place = served
    expected = read_frames(tmp_path / "a b.mp4", [3, 20], decoder=decoder)
    assert np.array_equal(read_frames(join(url, "a b.mp4"), [3, 20], decoder=decoder), expected)
    assert np.array_equal(read_frames(place, [3, 20], decoder=decoder), expected)
    assert probe(place, decoder=decoder).num_frames == 24


def test_a_video_comes_with_one_request(served):
    _, failures, place = served
    for _ in range(3):
        read_frames(place, [0, 23])
    assert len(failures.ranges) == 1


def test_large_videos_come_in_blocks_and_memory_is_bounded(served, monkeypatch):
    _, failures, place = served
    monkeypatch.setattr("vidssl.video.places.WHOLE_BYTES", 1000)
    monkeypatch.setattr(remote, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(remote, "CACHE_BYTES", 3000)
    expected = numbers_shown(read_frames(place, range(24)))
    assert expected == list(range(24))
    assert len(failures.ranges) > 3
    assert remote._CACHE._num_bytes <= 3000
    with open_place(place) as file:
        file.seek(700)
        assert len(file.read(900)) == 900


@pytest.mark.parametrize("failure", [500, 503, 429, "cut"])
def test_what_fails_is_asked_for_again(served, failure):
    _, failures, place = served
    failures.status = [failure, failure]
    assert len(read_frames(place, [5])) == 1
    assert len(failures.ranges) == 3


def test_what_fails_for_good_is_told_with_url_and_status(served):
    url, failures, place = served
    failures.status = [503] * 20
    with pytest.raises(FetchError, match=r"/x.tar: could not be fetched in 5 attempts, the last: status 503"):
        read_frames(place, [5])
    failures.status = [418]
    with pytest.raises(FetchError, match=r"the server refuses it with status 418"):
        read_frames(place, [5])
    failures.status = ["cut"] * 20
    with pytest.raises(FetchError, match=r"could not be fetched in 5 attempts"):
        read_frames(place, [5])
    with pytest.raises(DecodingError, match="no such file"):
        read_frames(f"{url}/nowhere.mp4", [0])
    with pytest.raises(DecodingError, match="cut short"):
        read_frames(f"{url}/x.tar::512+99999999::a.mp4", [0])


def test_a_server_without_ranges_is_told(served):
    _, failures, place = served
    failures.ignores_ranges = True
    with pytest.raises(FetchError, match=r"must answer requests for ranges"):
        read_frames(place, [5])


def test_a_server_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(remote, "ATTEMPTS", 2)
    with pytest.raises(FetchError, match=r"http://127.0.0.1:9/x.mp4: could not be fetched in 2 attempts"):
        read_frames("http://127.0.0.1:9/x.mp4", [0])


def test_kinds_of_urls_that_are_not_to_be_had():
    with pytest.raises(VidsslError, match="fsspec knows no URLs that begin with nonsense://"):
        read_frames("nonsense://x/y.mp4", [0])


def test_a_folder_of_a_url_is_like_a_folder():
    folder = UrlFolder("https://x.y/z/")
    assert folder / "a b.mp4" == "https://x.y/z/a%20b.mp4"
    assert str(folder) == "https://x.y/z"
    assert folder.is_dir()
    assert folder.absolute() == folder
    assert join("s3://b/c", "a b.mp4") == "s3://b/c/a b.mp4"


# --- catalogs ---


def clips(catalog):
    recipe = CVRL_VIEW_1
    dataset = ClipDataset(catalog, catalog.split("all"), IntervalSampler(num_frames=4), [recipe, recipe], seed=3)
    samples = [dataset[key] for key in [(0, 0), (3, 1)]]
    assert not any(sample.failures for sample in samples)
    return [clip for sample in samples for clip in sample.clips]


@pytest.fixture
def local(tmp_path):
    """A catalog of two videos in files of their own."""
    from vidssl.cli.prepare import run_prepare

    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(2):
        encode(folder / f"v {number}.mp4", "libx264", num_frames=20 + number)
    assert (
        run_prepare(["flat", "--videos", str(folder), "--output", str(tmp_path / "x.catalog"), "--workers", "1"]) == 0
    )
    return Catalog.open(tmp_path / "x.catalog")


def test_clips_over_http_are_those_from_files(local, tmp_path):
    job = PackJob(local, tmp_path / "packed", "keep", 10**9)
    pack_share(job, Share(), Processes(1, 60.0))
    finish(job)
    expected = clips(local)
    with serving(tmp_path) as (url, failures):
        files = Catalog.open(local.file, root=f"{url}/videos")
        shards = Catalog.open(job.catalog_file, root=f"{url}/packed")
        assert files.place(0).endswith("/videos/v%200.mp4")
        for catalog in (files, shards):
            assert all(np.array_equal(one, other) for one, other in zip(clips(catalog), expected, strict=True))
        failures.status = [503, None, "cut"]
        remote.forget_remote_files()
        assert all(np.array_equal(one, other) for one, other in zip(clips(shards), expected, strict=True))


def test_shards_behind_a_url_are_prepared(tmp_path):
    contents = encode(tmp_path / "v.mp4", "libx264", num_frames=8).read_bytes()
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for name, data in (("a.mp4", contents), ("a.json", b'{"label": "run"}'), ("b.mp4", contents)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    with serving(tmp_path) as (url, _):
        listing = tar_shards(videos=f"{url}/{{0..0}}.tar")
        catalog = prepare(listing, tmp_path / "x.catalog", ProbeOptions("auto", 1, 60.0))
        assert str(catalog.root) == url
        assert catalog.place(0) == f"{url}/0.tar::512+{len(contents)}::a.mp4"
        assert catalog.num_frames.tolist() == [8, 8]
        assert catalog.classes == ["run"]
        again = Catalog.open(tmp_path / "x.catalog")
        assert np.array_equal(read_frames(again.unchanged(again[1]), [7]), read_frames(tmp_path / "v.mp4", [7]))
        with pytest.raises(VidsslError, match=r"There is no file .*/1.tar"):
            tar_shards(videos=f"{url}/1.tar")


def test_shards_in_memory(tmp_path):
    contents = encode(tmp_path / "v.mp4", "libx264", num_frames=8).read_bytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("a.mp4")
        info.size = len(contents)
        tar.addfile(info, io.BytesIO(contents))
    fsspec.filesystem("memory").pipe_file("/shards/0.tar", buffer.getvalue())
    listing = tar_shards(videos="memory://shards/*.tar")
    assert str(listing.root) == "memory:///shards" or str(listing.root) == "memory://shards"
    assert np.array_equal(read_frames(listing.videos[0].place(listing.root), [3]), read_frames(tmp_path / "v.mp4", [3]))
