"""One user of the app over its WebSocket, as a browser would be: Streamlit's own messages, without a browser.

A session is a coroutine's: connect, open a page, set widgets, read what was drawn.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Common_pb2 import FileUploaderState
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates
from websockets.asyncio.client import ClientConnection, connect

_TAG = re.compile(r"<[^>]+>")


@dataclass(slots=True)
class Drawn:
    """What one run of a page sent.

    Attributes:
        elements: In the order they were sent; later ones may stand in the place of earlier ones.
        finished: How the script ended; only "FINISHED_SUCCESSFULLY" is a success.
    """

    elements: list[Element] = field(default_factory=list)
    finished: str = ""

    def of(self, kind: str) -> list[Any]:
        """Elements of a kind of `Element`, e.g. "html"."""
        return [getattr(element, kind) for element in self.elements if element.WhichOneof("type") == kind]

    def html(self) -> str:
        """All HTML of the page."""
        return "\n".join(one.body for one in self.of("html"))

    def markdown(self) -> str:
        """All Markdown of the page, escapes removed."""
        return "\n".join(one.body.replace("\\", "") for one in self.of("markdown"))

    def errors(self) -> list[str]:
        """Messages of error boxes and exceptions."""
        boxes = [one.body for one in self.of("alert") if one.format == one.ERROR]
        return boxes + [one.message for one in self.of("exception")]

    def neighbours(self) -> list[str]:
        """Case ids of the result cards, by rank."""
        found = re.findall(r'aria-label="Neighbour (\d+): case ([^"]+)"', self.html())
        return [case for _, case in sorted({(int(rank), case) for rank, case in found})]

    def words(self) -> str:
        """The page's text, tags removed."""
        return _TAG.sub(" ", self.html()) + self.markdown()


class Session:
    """A connected user."""

    def __init__(self, address: str, stream: ClientConnection) -> None:
        self._address = address
        self._stream = stream
        self._cached: dict[str, ForwardMsg] = {}
        self._widgets: dict[str, WidgetState] = {}
        self._page = ""
        self.pages: dict[str, str] = {}
        self.session_id = ""
        self._known: set[str] = set()

    async def open(self, page: str = "", query: str = "") -> Drawn:
        """Go to a page by its path, as a link would."""
        self._page = self.pages.get(page, "")
        return await self._run(query)

    async def set(self, **values: Any) -> Drawn:
        """Set widgets by the last part of their key (`id` ends in it), and run the page.

        A string is a text, True is a press of a button, a `FileUploaderState` an upload.
        """
        states = []
        for key, value in values.items():
            state = WidgetState(id=self._id_of(key))
            if isinstance(value, FileUploaderState):
                state.file_uploader_state_value.CopyFrom(value)
            elif value is True:
                state.trigger_value = True
            else:
                state.string_value = value
            states.append(state)
        return await self._run("", states)

    async def upload(self, key: str, data: bytes) -> Drawn:
        """Give a file to a file uploader."""
        await self._send(
            BackMsg(file_urls_request={"request_id": "1", "file_names": ["f"], "session_id": self.session_id})
        )
        async for message in self._messages():
            if message.WhichOneof("type") == "file_urls_response":
                urls = message.file_urls_response.file_urls[0]
                break
        async with httpx.AsyncClient() as client:
            # As the browser does: the token of the cookie, against requests forged by other sites.
            await client.get(f"http://{self._address}/_stcore/health")
            token = {"X-Xsrftoken": client.cookies["_streamlit_xsrf"]}
            address = f"http://{self._address}{urls.upload_url}"
            answer = await client.put(address, files={"file": ("f.png", data)}, headers=token)
            answer.raise_for_status()
        info = {"file_id": urls.file_id, "name": "f.png", "size": len(data), "file_urls": urls}
        return await self.set(**{key: FileUploaderState(uploaded_file_info=[info])})

    def known_keys(self) -> list[str]:
        """Keys of the widgets on the page."""
        return [widget.split("-", 2)[2] for widget in self._known if widget.startswith("$$ID-")]

    def _id_of(self, key: str) -> str:
        for widget in self._known:
            if widget.endswith(f"-{key}"):
                return widget
        raise KeyError(f"no widget {key!r} on this page")

    async def _run(self, query: str, states: Iterable[WidgetState] = ()) -> Drawn:
        for state in states:
            self._widgets[state.id] = state
        message = BackMsg()
        message.rerun_script.query_string = query
        message.rerun_script.page_script_hash = self._page
        message.rerun_script.widget_states.CopyFrom(WidgetStates(widgets=self._widgets.values()))
        # Presses and uploads happen once.
        self._widgets = {name: one for name, one in self._widgets.items() if one.WhichOneof("value") == "string_value"}
        await self._send(message)
        drawn = Drawn()
        self._known = set()
        async for found in self._messages():
            kind = found.WhichOneof("type")
            if kind == "new_session":
                self.session_id = found.new_session.initialize.session_id or self.session_id
                self._page = found.new_session.page_script_hash
                drawn = Drawn()  # a rerun of the run before: what counts is the last
            elif kind == "navigation":
                self.pages = {one.url_pathname: one.page_script_hash for one in found.navigation.app_pages}
                self._page = found.navigation.page_script_hash
            elif kind == "delta" and found.delta.WhichOneof("type") == "new_element":
                element = found.delta.new_element
                drawn.elements.append(element)
                widget = getattr(getattr(element, element.WhichOneof("type")), "id", "")
                if isinstance(widget, str) and widget:
                    self._known.add(widget)
            elif kind == "script_finished":
                drawn.finished = ForwardMsg.ScriptFinishedStatus.Name(found.script_finished)
                if drawn.finished != "FINISHED_EARLY_FOR_RERUN":
                    break
        return drawn

    async def _send(self, message: BackMsg) -> None:
        await self._stream.send(message.SerializeToString())

    async def _messages(self) -> AsyncIterator[ForwardMsg]:
        async for data in self._stream:
            message = ForwardMsg.FromString(data)
            if message.WhichOneof("type") == "ref_hash":
                message = self._cached[message.ref_hash]
            elif message.metadata.cacheable:
                self._cached[message.hash] = message
            yield message
        raise ConnectionError("the server closed the connection")


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Session]:
    """Connect a user to `HOST:PORT`."""
    url = f"ws://{address}/_stcore/stream"
    async with connect(
        url, subprotocols=["streamlit"], origin=f"http://{address}", max_size=2**28, open_timeout=120
    ) as stream:
        yield Session(address, stream)
