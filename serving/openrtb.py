"""OpenRTB 2.6, as far as a bid for an audio ad break needs it: requests read, responses written.

Fields that are not named here are accepted and ignored. `imp.qty.multiplier` says how many impressions an
opportunity stands for (1 by default); `imp.metric` of type `quality` its quality (1 on average), of type
`viewability` whether the screen is in view;
`user.data[].segment[].id` the listener's segment.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from envs.catalogue import FORMATS, PLACEMENTS, SEGMENTS

Text = Annotated[str, Field(max_length=512)]
Id = Annotated[str, Field(min_length=1, max_length=128)]
Whole = Annotated[int, Field(ge=-(2**31), le=2**31)]
MIMES: Final = {"audio": "audio/mpeg", "video": "video/mp4", "display": "image/jpeg"}
"""What our creatives are, by format."""
MTYPE: Final = {"display": 1, "video": 2, "audio": 3}
_MUSIC, _PODCAST, _SCREEN = (PLACEMENTS.index(p) for p in ("music_break", "podcast_break", "on_screen"))
_PLACEMENT_OF_FEED: Final = {1: _MUSIC, 2: _MUSIC, 3: _PODCAST}
"""OpenRTB's feed types: music service, broadcast, podcast."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Metric(_Part):
    """A measurement of an impression."""

    type: Text
    value: float


class Quantity(_Part):
    """How many impressions an opportunity stands for."""

    multiplier: float = Field(1.0, gt=0, le=1e6, allow_inf_nan=False)


class Media(_Part):
    """What audio and video have in common: durations in seconds."""

    mimes: Annotated[tuple[Text, ...], Field(max_length=64)] = ()
    minduration: Annotated[int, Field(ge=0, le=86400)] = 0
    maxduration: Annotated[int, Field(ge=0, le=86400)] | None = None
    rqddurs: Annotated[tuple[int, ...], Field(max_length=64)] = ()


class Audio(Media):
    """An audio slot; its `feed` tells music (1), broadcast (2) and podcast (3)."""

    feed: Whole | None = None


class Video(Media):
    """A video slot: the screen is in view."""


class Banner(_Part):
    """A banner: the screen is in view."""

    mimes: Annotated[tuple[Text, ...], Field(max_length=64)] = ()


class Imp(_Part):
    """One impression opportunity."""

    id: Id
    audio: Audio | None = None
    video: Video | None = None
    banner: Banner | None = None
    bidfloor: float = Field(0.0, ge=0, le=1e9, allow_inf_nan=False)
    bidfloorcur: Text = "USD"
    qty: Quantity = Quantity()
    metric: Annotated[tuple[Metric, ...], Field(max_length=32)] = ()


class Segment(_Part):
    """A segment that a listener belongs to."""

    id: Text | None = None


class Data(_Part):
    """Segments as one provider tells them."""

    segment: Annotated[tuple[Segment, ...], Field(max_length=64)] = ()


class User(_Part):
    """The listener."""

    id: Text | None = None
    data: Annotated[tuple[Data, ...], Field(max_length=32)] = ()


class BidRequest(_Part):
    """A bid request."""

    id: Id
    imp: Annotated[tuple[Imp, ...], Field(min_length=1, max_length=32)]
    user: User = User()
    cur: Annotated[tuple[Text, ...], Field(max_length=32)] = ()
    bcat: Annotated[tuple[Text, ...], Field(max_length=256)] = ()
    badv: Annotated[tuple[Text, ...], Field(max_length=256)] = ()
    tmax: Annotated[int, Field(ge=1, le=3_600_000)] | None = None
    test: Annotated[int, Field(ge=0, le=1)] = 0


class Slot(NamedTuple):
    """What an impression opportunity takes."""

    placement: int
    visible: bool
    formats: dict[int, Media | Banner]
    """By index into FORMATS."""
    quality: float


REQUEST: Final = TypeAdapter(BidRequest)


def read_request(body: bytes) -> BidRequest:
    """A request from JSON.

    Raises:
        ValueError: it is no bid request.
    """
    return REQUEST.validate_json(body)


def read_slot(imp: Imp) -> Slot | None:
    """What an impression takes; None where it takes none of our formats.

    A break is told by the audio's feed; without one the impression is on the screen. Whether a screen is in
    view is told by its viewability, else by whether video or banner are asked for.
    """
    formats: dict[int, Media | Banner] = {}
    for index, (name, part) in enumerate(zip(FORMATS, (imp.audio, imp.video, imp.banner), strict=True)):
        if part is not None and (not part.mimes or MIMES[name] in part.mimes):
            formats[index] = part
    if not formats:
        return None
    feed = None if imp.audio is None else imp.audio.feed
    placement = _SCREEN if feed is None else _PLACEMENT_OF_FEED.get(feed, _MUSIC)
    measured = {metric.type: metric.value for metric in imp.metric}
    quality = measured.get("quality", 1.0)
    if not 0.0 < quality <= 100.0:  # NaN is refused too
        return None
    screen = imp.video is not None or imp.banner is not None
    return Slot(placement, measured.get("viewability", float(screen)) > 0.5, formats, quality)


def read_segment(user: User) -> int | None:
    """Index into SEGMENTS, or None where none of ours is told."""
    for data in user.data:
        for segment in data.segment:
            if segment.id in _SEGMENT:
                return _SEGMENT[segment.id]
    return None


def fits(media: Media | Banner, seconds: float) -> bool:
    """Whether a spot of this length may run."""
    if isinstance(media, Banner):
        return True
    if media.rqddurs:
        return seconds in media.rqddurs
    return media.minduration <= seconds and (media.maxduration is None or seconds <= media.maxduration)


_SEGMENT: Final[dict[str | None, int]] = {name: index for index, name in enumerate(SEGMENTS)}


def schema() -> dict[str, Any]:
    """JSON schema of a bid request, as it is read."""
    return BidRequest.model_json_schema()
