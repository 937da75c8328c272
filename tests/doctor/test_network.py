from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest
import trustme
from findings import told

from demure.doctor import (
    network,
)
from demure.settings import Settings

WORKS = ("ok", "names and sockets work on this machine; nothing outside it was asked")
NETWORKS = {
    "closed": (network.Reach("", 120), {}, {}, [WORKS]),
    "no-sockets": (
        network.Reach("[Errno -2] Name or service not known", 120),
        {},
        {},
        [
            (
                "problem",
                "localhost cannot be looked up and dialled: [Errno -2] Name or service not known",
                "/etc/hosts should name it, and lo be up",
            )
        ],
    ),
    "no-authorities": (
        network.Reach("", 0),
        {},
        {},
        [
            WORKS,
            (
                "problem",
                "no certificate authority is known: no https URL can be fetched",
                "install the system's (apt install ca-certificates); where SSL_CERT_FILE is set, it must name a file of them",
            ),
        ],
    ),
    "networks": (
        network.Reach("", 120),
        {
            "fetch_allow_networks": (ip_network("10.1.0.0/24"), ip_network("fd00::/126")),
            "webhook_allow_networks": (ip_network("172.18.0.0/16"),),
        },
        {},
        [
            WORKS,
            (
                "note",
                "10.1.0.0/24, fd00::/126: 260 addresses that whoever may send a URL can reach",
                "keep DEMURE_FETCH_ALLOW_NETWORKS as narrow as it can be",
            ),
            (
                "note",
                "172.18.0.0/16: 65,536 addresses that webhooks can reach",
                "keep DEMURE_WEBHOOK_ALLOW_NETWORKS as narrow as it can be",
            ),
        ],
    ),
    "ports": (
        network.Reach("", 120),
        {"fetch_ports": (443, 8443), "webhook_ports": (80, 8000, 8001)},
        {},
        [
            WORKS,
            (
                "note",
                "DEMURE_FETCH_PORTS opens 1 port beside 80 and 443",
                "keep DEMURE_FETCH_PORTS as narrow as it can be",
            ),
            (
                "note",
                "DEMURE_WEBHOOK_PORTS opens 2 ports beside 80 and 443",
                "keep DEMURE_WEBHOOK_PORTS as narrow as it can be",
            ),
        ],
    ),
    "a-proxy": (
        network.Reach("", 120),
        {},
        {"HTTPS_PROXY": "http://me:hunter2@proxy:3128", "http_proxy": "", "NO_PROXY": "x"},
        [
            WORKS,
            (
                "note",
                "HTTPS_PROXY is set, and not used: URLs are dialled directly, so that their addresses can be checked",
                "where only a proxy leads out, send the images themselves and not their URLs",
            ),
        ],
    ),
}


@pytest.mark.parametrize(("reach", "values", "environment", "expected"), NETWORKS.values(), ids=NETWORKS)
def test_network(reach: network.Reach, values: dict, environment: dict[str, str], expected: list[tuple[str, ...]]):
    assert told(network.check_network(reach, Settings(**values), environment)) == expected


def test_this_machine_can_be_dialled_from_itself():
    looked = network.look()
    assert looked.failure == ""
    assert looked.authorities > 0


@pytest.mark.parametrize(
    ("variable", "name", "known"),
    [
        ("SSL_CERT_FILE", "bundle/two.pem", 2),
        ("SSL_CERT_FILE", "bundle/none", 0),
        ("SSL_CERT_FILE", "bundle/empty.pem", 0),
        ("SSL_CERT_DIR", "hashed", 2),
        ("SSL_CERT_DIR", "bundle", 0),
        ("SSL_CERT_DIR", "none", 0),
    ],
)
def test_authorities_are_counted_where_openssl_would_find_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, name: str, known: int
):
    """In a folder it looks for names of eight digits: openssl-rehash(1)."""
    one, other = (trustme.CA().cert_pem.bytes() for _ in range(2))
    bundle, hashed = tmp_path / "bundle", tmp_path / "hashed"
    bundle.mkdir()
    (bundle / "two.pem").write_bytes(one + other)
    (bundle / "empty.pem").touch()
    hashed.mkdir()
    (hashed / "0b1b94ef.0").write_bytes(one)
    (hashed / "0b1b94ef.1").write_bytes(other)
    (hashed / "README").touch()
    for unset in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(unset, raising=False)
    monkeypatch.setenv(variable, str(tmp_path / name))
    assert network.look().authorities == known
