import pickle

import numpy as np
import pytest
from safetensors.numpy import load_file

from vidssl.catalogs.catalog import Catalog, VideoRow, write_catalog
from vidssl.errors import UnknownNameError, VidsslError
from vidssl.motion.maps import temporal_motion
from vidssl.motion.quantisation import QUANTISATIONS, quantise, restore
from vidssl.motion.settings import MotionSettings
from vidssl.motion.store import MotionStore, StoredVideo, bytes_per_map, num_maps, write_store
from vidssl.video.decoding import DecodingError

SETTINGS = MotionSettings(grid=(5, 7), stride=4)


def make_catalog(file, frames=(30, 9, 4)):
    rows = [VideoRow(f"{n}.avi", -1, -1, count, 25.0, 64, 48, count / 25) for n, count in enumerate(frames)]
    write_catalog(file, rows, classes=[], group_names=[], splits={}, root=file.parent, source={})
    return Catalog.open(file)


def random_maps(count, rng, shape=(5, 7)):
    """Heavy-tailed as motion is: most of a map is small."""
    return np.exp(rng.normal(-1.0, 2.0, (count, *shape))).astype(np.float32)


def write(catalog, file, dtype="uint8", settings=SETTINGS):
    """Motion of the first and third video; the second failed."""
    rng = np.random.default_rng(0)
    maps = {row: random_maps(num_maps(int(catalog.num_frames[row]), settings.stride), rng) for row in (0, 2)}
    kept = {row: quantise(values, dtype) for row, values in maps.items()}
    videos = [
        StoredVideo(30, "codec", kept[0][1]),
        StoredVideo(0, "", np.empty(0, np.float32), "no frame decodes"),
        StoredVideo(4, "dis", kept[2][1]),
    ]
    write_store(file, videos, (kept[0][0], kept[2][0]), catalog=catalog, settings=settings, dtype=dtype)
    return maps


@pytest.mark.parametrize("dtype", QUANTISATIONS)
def test_a_store_gives_back_what_was_written(tmp_path, dtype):
    catalog = make_catalog(tmp_path / "x.catalog")
    maps = write(catalog, tmp_path / "x.motion", dtype)
    store = MotionStore.open(tmp_path / "x.motion", catalog, SETTINGS)
    assert len(store) == 3
    for row, values in maps.items():
        motion = store[row]
        assert (motion.stride, motion.num_frames) == (4, catalog.num_frames[row])
        assert motion.maps.dtype == np.float32
        np.testing.assert_array_equal(motion.maps, restore(*quantise(values, dtype), dtype))
    assert [store.has(row) for row in range(3)] == [True, False, True]
    assert [store.estimator(row) for row in range(3)] == ["codec", None, "dis"]
    assert store.estimator_counts() == {"codec": 1, "dis": 1}
    assert store.bad == [(1, "no frame decodes")]


def test_a_video_without_motion_is_an_unreadable_one(tmp_path):
    catalog = make_catalog(tmp_path / "x.catalog")
    write(catalog, tmp_path / "x.motion")
    with pytest.raises(DecodingError, match="no frame decodes") as told:
        MotionStore.open(tmp_path / "x.motion")[1]
    assert "no motion of it" in told.value.reason


def test_damaged_motion_is_found_when_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("vidssl.storage.container.CHEAP_BYTES", 100)  # the maps of real videos are never cheap
    catalog = make_catalog(tmp_path / "x.catalog")
    write(catalog, tmp_path / "x.motion")
    whole = (tmp_path / "x.motion").read_bytes()
    told = []
    for bit in np.random.default_rng(0).permutation(8 * len(whole))[:300].tolist():
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        (tmp_path / "x.motion").write_bytes(flipped)
        try:
            store = MotionStore.open(tmp_path / "x.motion", catalog, SETTINGS)
            [store[row] for row in (0, 2)]
        except VidsslError as error:  # a DecodingError is one: such a video counts as unreadable
            told.append(str(error))
        else:  # the checksum of all maps together, which nobody needs to read a video
            with pytest.raises(VidsslError, match="the column 'maps' has changed since it was written"):
                MotionStore.open(tmp_path / "x.motion", verify="whole")
    assert len(told) > 290
    assert all("damaged" in message or "cut short" in message for message in told)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_uint8_keeps_within_the_promised_error(scale):
    maps = scale * random_maps(200, np.random.default_rng(1), (28, 28))
    maps[0] = 0
    restored = restore(*quantise(maps, "uint8"), "uint8")
    greatest = maps.max(axis=(1, 2), keepdims=True)
    bound = np.sqrt(maps * greatest) / 255 + greatest / (4 * 255**2)
    assert (np.abs(restored - maps) <= bound * (1 + 1e-4)).all()
    assert (restored[0] == 0).all()
    np.testing.assert_allclose(temporal_motion(restored), temporal_motion(maps), rtol=4e-3)


def test_float16_keeps_three_digits_whatever_the_scale():
    for scale in (1e-6, 1.0, 1e7):
        maps = scale * random_maps(20, np.random.default_rng(1))
        restored = restore(*quantise(maps, "float16"), "float16")
        np.testing.assert_allclose(restored, maps, rtol=1e-3, atol=1e-6 * maps.max())


def test_any_reader_of_safetensors_opens_it_and_it_takes_the_bytes_it_should(tmp_path):
    catalog = make_catalog(tmp_path / "x.catalog")
    write(catalog, tmp_path / "x.motion")
    arrays = load_file(tmp_path / "x.motion")
    assert arrays["maps"].shape == (9, 5, 7)
    assert arrays["maps"].nbytes + arrays["scale"].nbytes == 9 * bytes_per_map(SETTINGS, "uint8")
    # the default: a Kinetics video of 300 frames in 29.9 kB
    assert num_maps(300, MotionSettings().stride) * bytes_per_map(MotionSettings(), "uint8") == 38 * (784 + 4)


def test_another_catalog_is_refused(tmp_path):
    catalog = make_catalog(tmp_path / "x.catalog")
    other = make_catalog(tmp_path / "other.catalog", (30, 9))
    write(catalog, tmp_path / "x.motion")
    with pytest.raises(VidsslError, match=f"3 videos, digest {catalog.digest}.*2 videos, digest {other.digest}"):
        MotionStore.open(tmp_path / "x.motion", other, SETTINGS)


def test_other_settings_are_refused_by_name(tmp_path):
    catalog = make_catalog(tmp_path / "x.catalog")
    write(catalog, tmp_path / "x.motion")
    wanted = MotionSettings(estimator="dis", grid=(5, 7), stride=2)
    with pytest.raises(VidsslError, match="estimator is 'codec' there, 'dis' here; stride is 4 there, 2 here"):
        MotionStore.open(tmp_path / "x.motion", catalog, wanted)


def test_what_is_no_stored_motion_is_told(tmp_path):
    make_catalog(tmp_path / "x.catalog")
    with pytest.raises(VidsslError, match="is not a file of stored motion"):
        MotionStore.open(tmp_path / "x.catalog")
    with pytest.raises(VidsslError, match=r"There is no stored motion .*gone.motion"):
        MotionStore.open(tmp_path / "gone.motion")
    with pytest.raises(UnknownNameError, match=r"'unit8'. Did you mean 'uint8'"):
        quantise(np.zeros((1, 2, 2), np.float32), "unit8")


def test_pickling_is_small_and_notices_another_file(tmp_path):
    catalog = make_catalog(tmp_path / "x.catalog", (30, 9, 4))
    maps = write(catalog, tmp_path / "x.motion")
    store = MotionStore.open(tmp_path / "x.motion", catalog, SETTINGS)
    pickled = pickle.dumps(store)
    assert len(pickled) < 1000
    np.testing.assert_array_equal(pickle.loads(pickled)[0].maps, store[0].maps)
    assert maps[0].shape == store[0].maps.shape
    write(make_catalog(tmp_path / "y.catalog", (30, 9, 3)), tmp_path / "x.motion")
    with pytest.raises(VidsslError, match="was replaced while it was in use"):
        pickle.loads(pickled)


def test_a_file_that_is_cut_short_is_told(tmp_path):
    catalog = make_catalog(tmp_path / "x.catalog")
    write(catalog, tmp_path / "x.motion")
    contents = (tmp_path / "x.motion").read_bytes()
    (tmp_path / "x.motion").write_bytes(contents[:-10])
    with pytest.raises(VidsslError, match="is cut short"):
        MotionStore.open(tmp_path / "x.motion")
