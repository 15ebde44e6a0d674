"""Which addresses anybody can reach, however they are written."""

from __future__ import annotations

import pytest

from metamlflow.backend.addresses import address_of, is_public

NOT_PUBLIC = [
    "0.0.0.0", "0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.1", "127.255.255.254", "2130706433", "0x7f000001",
    "0x7f.0.0.1", "0177.0.0.1", "017700000001", "169.254.169.254", "0xa9fea9fe", "172.16.0.1", "192.168.1.1",
    "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.2.3", "240.0.0.1", "255.255.255.255", "::", "::1", "[::1]",
    "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "fe80::1",
    "fe80::1%eth0", "fe80::1%25eth0", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:db8::1", "2001:0:7f00:1::",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "134744072", "0x08.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
NAMES = ["localhost", "example.com", "127.0.0.1.example.com", "1.2.3.4.5", "xn--bcher-kva.example", ""]


@pytest.mark.parametrize("host", NOT_PUBLIC)
def test_an_address_that_only_some_can_reach_is_not_public_however_it_is_written(host):
    address = address_of(host)
    assert address is not None
    assert not is_public(address)


@pytest.mark.parametrize("host", PUBLIC)
def test_an_address_that_anybody_can_reach_is_public(host):
    address = address_of(host)
    assert address is not None
    assert is_public(address)


@pytest.mark.parametrize("host", NAMES)
def test_a_name_is_not_an_address(host):
    assert address_of(host) is None
