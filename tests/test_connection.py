"""Where does anything go? Whatever the gate refuses to a fetch it refuses to a post, before a byte is sent."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network

import pytest
from recorder import Recorder, stub
from tables import rows
from upstream import NO_TLS, response

from demure.connection import Resolve
from demure.errors import UrlNotAllowed
from demure.post import Poster, PostLimits

EVERYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))

URLS = [row for row in rows("urls.tsv") if row[4] == "-"]  # no redirects: a post follows none
ALLOWED = [pytest.param(*row[2:4], id=row[0]) for row in URLS if row[1] == "allow"]
DENIED = [pytest.param(*row[2:4], id=row[0]) for row in URLS if row[1] != "allow"]
DENIED_FOR_WHERE = [pytest.param(*row[2:4], id=row[0]) for row in URLS if row[1] in ("address", "name")]


def posted(url: str, recorder: Recorder, resolve: Resolve, limits: PostLimits = PostLimits()) -> int:
    async def ask() -> int:
        async with Poster(limits, resolve=resolve, backend=recorder, ssl_context=NO_TLS) as poster:
            return await poster.post(url, {}, b"{}")

    return asyncio.run(ask())


@pytest.mark.parametrize(("url", "answers"), ALLOWED)
def test_a_url_in_public_is_posted_to(url: str, answers: str):
    recorder = Recorder(response())
    assert posted(url, recorder, stub(answers)) == 200
    assert recorder.dials
    assert not recorder.forbidden


@pytest.mark.parametrize(("url", "answers"), DENIED)
def test_a_url_that_leads_elsewhere_is_refused_and_not_dialled(url: str, answers: str):
    recorder = Recorder(response())
    with pytest.raises(UrlNotAllowed):
        posted(url, recorder, stub(answers, otherwise="93.184.216.34"))
    assert not recorder.dials


@pytest.mark.parametrize(("url", "answers"), DENIED_FOR_WHERE)
def test_control_with_every_network_open_the_same_url_is_dialled(url: str, answers: str):
    """Without this the test above could pass because nothing is ever dialled."""
    recorder = Recorder(response())
    assert posted(url, recorder, stub(answers), PostLimits(allow_networks=EVERYWHERE)) == 200
    assert len(recorder.dials) == 1
