"""A backend for the storage of ``flat_server``, on the base of object stores: another kind than a file system."""

import json
import uuid
from datetime import UTC, datetime
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

import fsspec

from metamlflow import InvalidInputError
from metamlflow.backend import ErrorTable, ObjectInfo, ObjectStoreBackend, Opened, Page
from metamlflow.backend.object_filesystem import ObjectFileSystem

PART = 8 * 1024 * 1024


class FlatRequests:
    one_request_bytes = PART

    def __init__(self, host):
        self._host = host

    def send(self, method, name, data=None, headers=None, **query):
        url = f"http://{self._host}/{quote(name)}?{urlencode(query)}"
        try:
            return urlopen(Request(url, data, headers or {}, method=method), timeout=60)
        except HTTPError as error:
            error.close()  # it holds the connection
            raise

    def put(self, name, data, blob, *, over):
        self.send("PUT", name, data, new(over)).close()

    def part_bytes(self, size):
        return PART

    def begin_upload(self, name, blob, *, over):
        return FlatUpload(self, name, over)

    def get(self, name, start, end, pin):
        try:
            with self.send("GET", name, headers=of(start, end, pin)) as answer:
                return answer.read()
        except HTTPError as error:
            if error.code == 416:
                return b""
            raise

    def stream(self, name, start, pin):
        answer = self.send("GET", name, headers=of(start, None, pin) if start or pin else {})
        return Opened(FlatStream(answer), int(answer.headers["X-Size"]), answer.headers["ETag"])

    def head(self, name):
        with self.send("HEAD", name) as answer:
            told = answer.headers
        modified, now = (datetime.fromtimestamp(float(told[each]), UTC) for each in ("X-Modified", "X-Now"))
        return ObjectInfo(name, int(told["X-Size"]), modified, now, told["ETag"])

    def page(self, asked):
        with self.send("GET", "", prefix=asked.prefix, after=asked.last, limit=asked.limit) as answer:
            page = json.load(answer)
        found = [ObjectInfo(name, size, datetime.fromtimestamp(at, UTC)) for name, size, at in page["objects"]]
        return Page(found, found[-1].key if page["more"] else None)

    def delete(self, names):
        failed = []
        for name in names:
            try:
                self.send("DELETE", name).close()
            except OSError as error:
                failed.append((name, error))
        return failed


class FlatUpload:
    def __init__(self, requests, name, over):
        self._requests, self._name, self._over, self._id = requests, name, over, uuid.uuid4().hex

    def send(self, data, start):
        self._requests.send("PUT", self._name, data, upload=self._id, start=start).close()

    def finish(self):
        self._requests.send("POST", self._name, headers=new(self._over), upload=self._id).close()

    def cancel(self):
        self._requests.send("DELETE", self._name, upload=self._id).close()


class FlatStream:
    def __init__(self, answer):
        self.fill, self.close = answer.readinto, answer.close


def new(over):
    return {} if over else {"If-None-Match": "*"}


def of(start, end, pin):
    last = "" if end is None else end - 1
    return {"Range": f"bytes={start}-{last}"} | ({"If-Match": pin} if pin else {})


class FlatBackend(ObjectStoreBackend):
    own_errors = ErrorTable()

    def __init__(self, url, options):
        if options:
            raise InvalidInputError(f"a flat store takes no storage options, got {', '.join(sorted(options))}")
        host, _, prefix = url.removeprefix("flat://").partition("/")
        super().__init__(f"flat://{host}", prefix, lambda: FlatRequests(host))


class FlatFileSystem(ObjectFileSystem):
    protocol = "flat"
    open_backend = staticmethod(FlatBackend)


fsspec.register_implementation("flat", FlatFileSystem, clobber=True)
