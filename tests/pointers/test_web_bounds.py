"""What is asked of web servers stays within bounds: no private address, and no credential for another host."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from test_web_pointers import KINDS, Site, served

from metamlflow import MetaMLFlowClient
from metamlflow.errors import InvalidInputError, MetaMLFlowError, PointerDriftError, PointerPolicyError

pytest.importorskip("aiohttp")

TOKEN = "Bearer HUSH"


class Redirecting(Site):
    """A server that sends whoever asks for a path in ``to`` elsewhere."""

    def __init__(self, **given):
        super().__init__(**given)
        self.to: dict[str, str] = {}

    def answer(self, handler):
        path = handler.path.partition("?")[0]
        if path in self.to:
            self.asked.append((handler.command, handler.path, dict(handler.headers)))
            return 302, {"Location": self.to[path]}, b""
        return super().answer(handler)


def running():
    site = Redirecting(knows=KINDS["with all"])
    with served(site) as url:
        site.url = url
        yield site


@pytest.fixture
def first():
    yield from running()


@pytest.fixture
def second():
    yield from running()


def client_for(folder, allowed, options=None):
    return MetaMLFlowClient(folder, pointer_policy=dict.fromkeys(allowed, "allow"), source_options=options)


def headers_of(site):
    return json.dumps([headers for _, _, headers in site.asked])


# --- where a request may go -------------------------------------------------------------------------------------------


def test_a_redirect_to_an_address_that_is_not_allowed_is_not_followed(store_folder, first, second):
    second.files["/x"] = b"internal"
    first.to["/x"] = f"{second.url}/x"
    with pytest.raises(PointerPolicyError, match=second.url):
        client_for(store_folder, [first.url]).register_pointer("a", f"{first.url}/x")
    assert first.asked
    assert second.asked == []


@pytest.mark.parametrize(
    "place", ["file:///etc/passwd", "http://169.254.169.254/x", "ftp://127.0.0.1/x", "//[::1]:1/x"]
)
def test_no_redirect_leads_to_a_file_another_scheme_or_the_clouds_metadata(store_folder, first, place):
    first.to["/x"] = place
    with pytest.raises(PointerPolicyError):
        client_for(store_folder, [first.url]).register_pointer("a", f"{first.url}/x")


def test_a_redirect_that_begins_after_the_registration_is_not_followed_either(store_folder, first, second):
    second.files["/x"] = first.files["/x"] = b"four"
    artifact = client_for(store_folder, [first.url]).register_pointer("a", f"{first.url}/x", evidence="full")
    first.to["/x"] = f"{second.url}/x"
    for use in (artifact.read_bytes, lambda: artifact.open().read(), artifact.refresh, artifact.materialize):
        with pytest.raises(MetaMLFlowError) as caught:
            use()
        assert "pointer_policy" in str(caught.value)
    assert second.asked == []


def test_an_allowed_redirect_is_followed_relative_ones_too(store_folder, first, second):
    second.files["/x"] = b"four"
    first.to |= {"/x": "y", "/y": f"{second.url}/x"}
    artifact = client_for(store_folder, [first.url, second.url]).register_pointer("a", f"{first.url}/x")
    assert artifact.read_bytes() == b"four"


def test_a_redirect_without_end_is_an_error(store_folder, first):
    first.to["/x"] = "/x"
    with pytest.raises(MetaMLFlowError, match="redirects"):
        client_for(store_folder, [first.url]).register_pointer("a", f"{first.url}/x")
    assert len(first.asked) < 30


def test_a_name_that_resolves_to_this_machine_is_refused_and_nothing_connects(store_folder, first):
    first.files["/x"] = b"internal"
    port = first.url.rpartition(":")[2]
    with pytest.raises(PointerPolicyError, match="resolves to"):
        client_for(store_folder, []).register_pointer("a", f"http://localhost:{port}/x")
    assert first.asked == []
    named = client_for(store_folder, [f"http://localhost:{port}"])
    assert named.register_pointer("a", f"http://localhost:{port}/x").read_bytes() == b"internal"


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(store_folder, first, monkeypatch):
    """A name that is public when it is looked at, and this machine when it is connected to, leads nowhere."""
    first.files["/x"] = b"internal"
    port = int(first.url.rpartition(":")[2])
    real, asked = socket.getaddrinfo, []

    def changing(host, *arguments, **options):
        if not host.endswith(".rebound.example"):
            return real(host, *arguments, **options)
        asked.append(host)
        address = "127.0.0.1" if len(asked) % 2 == 0 else "192.0.0.9"  # of the public range, where nobody listens
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    connected = []

    async def connect(_, sock, address):
        connected.append(address[0])
        raise OSError("nothing is connected to in this test")

    monkeypatch.setattr(socket, "getaddrinfo", changing)
    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", connect)
    client = client_for(store_folder, [])
    for number in range(4):
        with pytest.raises(MetaMLFlowError):
            client.register_pointer("a", f"http://{number}.rebound.example:{port}/x")
    assert len(asked) >= 4
    assert set(connected) <= {"192.0.0.9"}
    assert first.asked == []


# --- through a proxy --------------------------------------------------------------------------------------------------

PROXIES = {
    "an option": lambda url, _: {"proxy": url},
    "the environment": lambda url, patch: patch.setenv("http_proxy", url) or {"client_kwargs": {"trust_env": True}},
}


@pytest.mark.parametrize("way", PROXIES.values(), ids=PROXIES)
def test_a_proxy_may_be_private_and_resolves_names_itself(store_folder, first, monkeypatch, way):
    monkeypatch.delenv("no_proxy", raising=False)
    first.files["http://data.example/x"] = b"four"
    client = client_for(store_folder, [], {"http": way(first.url, monkeypatch)})
    assert client.register_pointer("a", "http://data.example/x").read_bytes() == b"four"
    first.asked.clear()
    for host in ("127.0.0.1:1", "169.254.169.254", "2130706433"):
        with pytest.raises(PointerPolicyError):
            client.register_pointer("b", f"http://{host}/x")
    assert first.asked == []


@pytest.mark.parametrize("proxy", ["https://proxy.example:3128", "https://localhost:1"])
def test_a_proxy_that_is_not_used_after_all_lifts_no_bound(store_folder, first, monkeypatch, proxy):
    """aiohttp warns of a proxy whose own address begins with https, and connects by itself."""
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("http_proxy", proxy)
    first.files["/x"] = b"internal"
    monkeypatch.setattr(socket, "getaddrinfo", leading_here(socket.getaddrinfo, "internal.example"))
    client = client_for(store_folder, [], {"http": {"client_kwargs": {"trust_env": True}}})
    with pytest.raises(PointerPolicyError, match="resolves to"):
        client.register_pointer("a", f"http://internal.example:{first.url.rpartition(':')[2]}/x")
    assert first.asked == []


def leading_here(real, name):
    return lambda host, *given, **options: real("127.0.0.1" if host == name else host, *given, **options)


def test_without_trust_the_environments_proxy_is_not_used(store_folder, first, monkeypatch):
    monkeypatch.setenv("http_proxy", first.url)
    with pytest.raises(MetaMLFlowError):
        client_for(store_folder, []).register_pointer("a", "http://localhost:1/x")
    assert first.asked == []


# --- what a host is told ----------------------------------------------------------------------------------------------

CREDENTIALS = {
    "headers": {"headers": {"X-Token": TOKEN}},
    "the authorization": {"headers": {"Authorization": TOKEN}},
    "headers of the connection": {"client_kwargs": {"headers": {"X-Token": TOKEN}}},
    "cookies": {"cookies": {"session": TOKEN}},
    "cookies of the connection": {"client_kwargs": {"cookies": {"session": TOKEN}}},
    "parameters": {"params": {"key": TOKEN}},
}


@pytest.mark.parametrize("options", CREDENTIALS.values(), ids=CREDENTIALS)
def test_credentials_go_to_the_host_they_were_given_for_and_not_along_with_a_redirect(
    store_folder, first, second, options
):
    second.files["/x"] = b"four"
    first.to["/x"] = f"{second.url}/x"
    client = client_for(store_folder, [first.url, second.url], {f"{first.url}/": options})
    artifact = client.register_pointer("a", f"{first.url}/x", evidence="full")
    assert artifact.read_bytes() == b"four"
    assert all("HUSH" in json.dumps(asked) for asked in first.asked)
    assert "HUSH" not in json.dumps(second.asked)
    assert any(headers.get("If-Match") for _, _, headers in second.asked)  # the condition does go along


@pytest.mark.parametrize("options", CREDENTIALS.values(), ids=CREDENTIALS)
@pytest.mark.parametrize("place", ["http", "https", "https://", "HTTP", "ftp", "sftp"])
def test_credentials_for_every_host_are_refused_with_the_remedy_and_not_shown(store_folder, place, options):
    with pytest.raises(InvalidInputError, match=r"://data\.example\.com/") as caught:
        MetaMLFlowClient(store_folder, source_options={place: options})
    assert "HUSH" not in str(caught.value)


@pytest.mark.parametrize("options", [{"username": "u", "password": "HUSH"}, {"key_filename": "HUSH"}])
def test_a_password_of_a_terminal_belongs_to_a_host_too(store_folder, options):
    with pytest.raises(InvalidInputError):
        MetaMLFlowClient(store_folder, source_options={"sftp": options})
    MetaMLFlowClient(store_folder, source_options={"sftp://host/": options})


def test_they_are_refused_from_the_environment_too(store_folder, monkeypatch):
    monkeypatch.setenv("METAMLFLOW_SOURCE_OPTIONS", json.dumps({"https": {"headers": {"X-Token": TOKEN}}}))
    with pytest.raises(InvalidInputError):
        MetaMLFlowClient(store_folder)


def test_what_is_no_credential_may_hold_for_every_host(store_folder):
    MetaMLFlowClient(store_folder, source_options={"https": {"block_size": 1, "client_kwargs": {"trust_env": True}}})


def test_a_host_that_begins_alike_is_told_nothing(store_folder, first):
    first.files |= {"/data/x": b"four", "/database/x": b"four"}
    client = client_for(store_folder, [first.url], {f"{first.url}/data": {"headers": {"X-Token": TOKEN}}})
    client.register_pointer("a", f"{first.url}/data/x")
    assert "HUSH" in headers_of(first)
    first.asked.clear()
    for path in ("/database/x", "/data/../database/x"):
        client.register_pointer("a", f"{first.url}{path}")
    assert "HUSH" not in headers_of(first)


def test_a_client_of_ones_own_is_used_for_hosts_that_are_allowed_by_name_only(store_folder, first, second):
    made = []

    async def own(**options):
        import aiohttp

        made.append(options)
        return aiohttp.ClientSession(**options)

    second.files["/x"] = first.files["/x"] = b"four"
    options = {first.url: {"get_client": own}, "http://localhost:1/": {"get_client": own}}
    client = client_for(store_folder, [first.url, second.url], options)
    artifact = client.register_pointer("a", f"{first.url}/x")
    assert artifact.read_bytes() == b"four"
    assert made
    with pytest.raises(PointerPolicyError, match="client of their own"):
        client.register_pointer("b", "http://localhost:1/x")
    first.to["/x"] = f"{second.url}/x"
    with pytest.raises((PointerPolicyError, PointerDriftError)):
        artifact.read_bytes()
    assert second.asked == []


def test_pages_that_lead_deeper_without_end_are_refused(store_folder, first):
    first.content = lambda asked, data, path: (200, {"Content-Type": "text/html"}, b'<a href="a/">deeper</a>')
    first.files = Everything()
    with pytest.raises(MetaMLFlowError, match="200 deep"):
        client_for(store_folder, [first.url]).register_pointer("a", f"{first.url}/")
    assert len(first.asked) < 1000


class Everything(dict):
    def get(self, _, default=None):
        return b"1"
