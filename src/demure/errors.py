"""Every error that demure raises. The code is stable, the message is safe to show to whoever sent the image.

DemureError
├── SourceError                what was to be read is not there, or is not to be read
│   ├── SourceNotFound         not_found
│   ├── EmptyBody              empty_body
│   └── TooLarge               too_large
├── ImageError                 the bytes are there, the picture cannot be judged
│   ├── NotAnImage             not_an_image
│   ├── UnsupportedFormat      unsupported_format
│   ├── Undecodable            undecodable
│   ├── TooManyPixels          too_many_pixels
│   └── TooManyFrames          too_many_frames
├── FetchError                 the URL could not be fetched
│   ├── UrlNotAllowed          url_not_allowed
│   ├── TooManyRedirects       too_many_redirects
│   ├── UpstreamStatus         upstream_status
│   ├── UpstreamEncoding       upstream_encoding
│   ├── UpstreamProtocolError  upstream_protocol_error
│   ├── UpstreamUnreachable    upstream_unreachable
│   ├── UpstreamBadRedirect    upstream_bad_redirect
│   └── UpstreamTimeout        upstream_timeout
├── UnknownName                a name that the caller chose is not known here
│   ├── UnknownModel           unknown_model
│   └── UnknownPolicy          unknown_policy
├── Overloaded                 overloaded
├── TimedOut                   timed_out
├── NotPermitted               not_permitted
├── Conflict                   conflict
├── StorageFull                storage_full
├── StorageUnavailable         storage_unavailable
└── SetupError                 the operator's own files or settings; found at start, not by a request
    ├── InvalidModel           invalid_model
    ├── DamagedWeights         damaged_weights
    ├── InvalidPolicy          invalid_policy
    ├── InvalidList            invalid_list
    ├── InvalidLabels          invalid_labels
    ├── TooFewLabels           too_few_labels
    └── InvalidSetting         invalid_setting
"""

from __future__ import annotations

from collections.abc import Iterator


class DemureError(Exception):
    """Base of all. `retryable` says whether the same call may succeed later without a change."""

    code: str
    retryable = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class SourceError(DemureError):
    """What was to be read is not there, or is not to be read."""


class SourceNotFound(SourceError):
    code = "not_found"


class EmptyBody(SourceError):
    code = "empty_body"


class TooLarge(SourceError):
    code = "too_large"


class ImageError(DemureError):
    """The bytes are there, but the picture in them cannot be judged."""


class NotAnImage(ImageError):
    code = "not_an_image"


class UnsupportedFormat(ImageError):
    code = "unsupported_format"


class Undecodable(ImageError):
    code = "undecodable"


class TooManyPixels(ImageError):
    code = "too_many_pixels"


class TooManyFrames(ImageError):
    code = "too_many_frames"


class FetchError(DemureError):
    """The URL could not be fetched."""


class UrlNotAllowed(FetchError):
    """The URL's form or its address is refused. The message never tells what stands behind an address."""

    code = "url_not_allowed"


class TooManyRedirects(FetchError):
    code = "too_many_redirects"


class UpstreamStatus(FetchError):
    """The host answered, but not with 200. `status` is what it answered; 0 where only the code came this far."""

    code = "upstream_status"

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.retryable = status >= 500


class UpstreamEncoding(FetchError):
    code = "upstream_encoding"


class UpstreamProtocolError(FetchError):
    code = "upstream_protocol_error"


class UpstreamUnreachable(FetchError):
    code = "upstream_unreachable"
    retryable = True


class UpstreamBadRedirect(FetchError):
    code = "upstream_bad_redirect"


class UpstreamTimeout(FetchError):
    code = "upstream_timeout"
    retryable = True


class UnknownName(DemureError):
    """A name that the caller chose is not known here; the message lists the known ones."""


class UnknownModel(UnknownName):
    code = "unknown_model"


class UnknownPolicy(UnknownName):
    code = "unknown_policy"


class Overloaded(DemureError):
    code = "overloaded"
    retryable = True


class TimedOut(DemureError):
    code = "timed_out"
    retryable = True


class StorageFull(DemureError):
    """The disk takes no more. Nothing that was there is lost."""

    code = "storage_full"
    retryable = True


class StorageUnavailable(DemureError):
    """The database does not answer."""

    code = "storage_unavailable"
    retryable = True


class NotPermitted(DemureError):
    """Who asks is known, and may not."""

    code = "not_permitted"


class Conflict(DemureError):
    """Somebody else was there first, or what is asked for is not to be done in this state. Look again, then decide."""

    code = "conflict"


class SetupError(DemureError):
    """The operator's own files or settings are wrong."""


class InvalidModel(SetupError):
    code = "invalid_model"


class DamagedWeights(SetupError):
    code = "damaged_weights"


class InvalidPolicy(SetupError):
    code = "invalid_policy"


class InvalidList(SetupError):
    code = "invalid_list"


class InvalidLabels(SetupError):
    """A labelled set that cannot be read, or is not what a question needs."""

    code = "invalid_labels"


class TooFewLabels(SetupError):
    """So few that nothing can be promised. The message says how many more of which kind it takes."""

    code = "too_few_labels"


class InvalidSetting(SetupError):
    code = "invalid_setting"


def by_code() -> dict[str, type[DemureError]]:
    """Each code with its class, for errors that crossed a process boundary as text."""

    def leaves(parent: type[DemureError]) -> Iterator[type[DemureError]]:
        for child in parent.__subclasses__():
            yield from leaves(child) if child.__subclasses__() else [child]

    return {leaf.code: leaf for leaf in leaves(DemureError)}
