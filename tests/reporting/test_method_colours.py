"""A method has one colour, whatever it is compared with."""

from vidssl.reporting.method_colours import ON_LIGHT, SHIPPED, colour_on_light, method_places


def test_the_colour_of_a_shipped_method_does_not_depend_on_the_others():
    assert method_places(["MCL"]) == {"MCL": 1}
    assert method_places(["MoCo", "mine", "MCL", "CVRL (temperature 0.2)"])["MCL"] == 1
    assert colour_on_light("CVRL") == ON_LIGHT[0]
    assert len(set(map(colour_on_light, SHIPPED))) == len(ON_LIGHT)
    assert colour_on_light("untrained (a)") not in ON_LIGHT


def test_methods_of_one_page_never_share_a_place():
    labels = [f"mine {number}" for number in range(20)]
    places = method_places(labels)
    assert len(set(places.values())) == 20
    assert places == method_places(labels[::-1])
