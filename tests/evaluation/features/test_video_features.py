import numpy as np
from evaluation_setup import grouped_catalog

from vidssl.catalogs.catalog import Catalog
from vidssl.evaluation.features.video_features import VideoFeatures


def test_labels_and_groups_are_those_of_the_rows(synthetic_catalog, tmp_path):
    catalog = Catalog.open(grouped_catalog(synthetic_catalog, tmp_path, num_train=11, num_test=5))
    rows = np.array([2, 5, 13], np.int32)
    views = np.random.default_rng(0).standard_normal((3, 2, 4)).astype(np.float32)
    found = VideoFeatures.of(catalog, rows, views)
    assert found.views is views
    assert {column.dtype for column in (found.labels, found.groups, found.index)} == {np.dtype(np.int64)}
    assert found.index.tolist() == rows.tolist()
    assert found.labels.tolist() == [catalog[row].label for row in rows.tolist()]
    assert found.groups.tolist() == [catalog[row].group for row in rows.tolist()]
    assert VideoFeatures.of(catalog, rows).views.shape == (3, 1, 0)
