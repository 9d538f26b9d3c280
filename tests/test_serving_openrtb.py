import json
from typing import Any

import pytest

from envs.catalogue import FORMATS, PLACEMENTS, SEGMENTS
from serving.openrtb import Slot, User, fits, read_request, read_segment, read_slot


def slot(**imp: Any) -> Slot | None:
    return read_slot(read_request(json.dumps({"id": "r", "imp": [{"id": "1", **imp}]}).encode()).imp[0])


@pytest.mark.parametrize(
    ("imp", "placement", "visible", "formats"),
    [
        ({"audio": {"feed": 1}}, "music_break", False, {"audio"}),
        ({"audio": {"feed": 3}}, "podcast_break", False, {"audio"}),
        ({"audio": {"feed": 1}, "video": {}}, "music_break", True, {"audio", "video"}),
        (
            {"audio": {"feed": 3}, "metric": [{"type": "viewability", "value": 1}]},
            "podcast_break",
            True,
            {"audio"},
        ),
        ({"banner": {"w": 300}}, "on_screen", True, {"display"}),
        ({"video": {"mimes": ["video/webm"]}, "audio": {}}, "on_screen", True, {"audio"}),
    ],
)
def test_an_impression_is_read(imp: Any, placement: str, visible: bool, formats: set[str]) -> None:
    found = slot(**imp)
    assert found is not None
    assert (PLACEMENTS[found.placement], found.visible) == (placement, visible)
    assert {FORMATS[index] for index in found.formats} == formats and found.quality == 1.0


@pytest.mark.parametrize(
    "imp",
    [{}, {"audio": {"mimes": ["audio/ogg"]}}, {"audio": {}, "metric": [{"type": "quality", "value": -1}]}],
)
def test_what_takes_nothing_of_ours_is_none(imp: Any) -> None:
    assert slot(**imp) is None


@pytest.mark.parametrize(
    ("media", "seconds", "good"),
    [
        ({"minduration": 10, "maxduration": 20}, 15, True),
        ({"minduration": 20}, 15, False),
        ({"maxduration": 10}, 15, False),
        ({"rqddurs": [30]}, 15, False),
        ({"rqddurs": [15, 30]}, 15, True),
    ],
)
def test_a_spot_fits_where_its_length_is_wanted(media: Any, seconds: float, good: bool) -> None:
    found = slot(audio=media)
    assert found is not None and fits(found.formats[0], seconds) is good


def test_the_first_segment_of_ours_counts() -> None:
    told = [{"segment": [{"id": "strangers"}, {}]}, {"segment": [{"id": SEGMENTS[2]}, {"id": SEGMENTS[0]}]}]
    assert read_segment(User.model_validate({"data": told})) == 2
    assert read_segment(User()) is None
