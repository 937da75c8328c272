"""A client of the service, for a site's own code. Needs demure's extra `client`; in a clone: `pip install '.[client]'`.

    from demure.client import Client

    with Client("http://127.0.0.1:8080", key) as client:
        client.moderate(Path("picture.jpg")).decision      # "adult", "unknown" or "safe"

AsyncClient is the same for asyncio. verify_webhook tells whether an event came from the service. Importing this loads neither
models nor a web framework, nor the HTTP library before a client is made.
"""

from demure.client.answer import Answer, Fault, Media, Ticket
from demure.client.drivers import AsyncClient, Client
from demure.client.errors import (
    ClientError,
    InvalidWebhook,
    NotReached,
    Refused,
    TooSlow,
    Unavailable,
    UnexpectedAnswer,
)
from demure.client.images import ImageSource
from demure.client.webhook import Event, Sender, verify_webhook
from demure.policy import Outcome

__all__ = [
    "Answer",
    "AsyncClient",
    "Client",
    "ClientError",
    "Event",
    "Fault",
    "ImageSource",
    "InvalidWebhook",
    "Media",
    "NotReached",
    "Outcome",
    "Refused",
    "Sender",
    "Ticket",
    "TooSlow",
    "Unavailable",
    "UnexpectedAnswer",
    "verify_webhook",
]
