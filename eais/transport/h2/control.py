"""h2's part: headers, settings, pings and resets, and the states of streams. (Brain.)

h2 never sees DATA, WINDOW_UPDATE or GOAWAY; an end of stream that came with DATA is told to it
by an empty frame. Its own windows therefore stay as they were and bind nobody.
"""

from __future__ import annotations

from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event
from h2.exceptions import (
    DenialOfServiceError,
    NoAvailableStreamIDError,
    ProtocolError,
    TooManyStreamsError,
)
from h2.settings import SettingCodes, Settings

from eais.errors import Unavailable
from eais.transport.h2 import frames
from eais.transport.h2.frames import PeerFault
from eais.transport.h2.limits import H2Limits, Role
from eais.transport.h2.metadata import Written
from eais.transport.h2.sending import Sender

# Our headers vary little: no peer makes us keep a larger table for them.
_HEADER_TABLE_BYTES: Final = 4_096
# Streams above the limit are refused one by one; h2 would end the connection.
_ROOM_TO_REFUSE: Final = 16


class _Connection(H2Connection):
    # Whose late frames are still known for what they are.
    MAX_CLOSED_STREAMS = 1_024


class Control:
    """One h2 connection; what it has to say goes to `sender` in order."""

    def __init__(self, role: Role, limits: H2Limits, sender: Sender) -> None:
        self._limits = limits
        self._sender = sender
        client = role is Role.CLIENT
        config = H2Configuration(
            client_side=client,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self._h2 = _Connection(config)
        self._h2.local_settings = self._settings(client, limits.streams)
        self._h2.decoder.max_header_list_size = limits.header_bomb_bytes
        self._h2.max_inbound_frame_size = limits.header_block_bytes * 2

    def _settings(self, client: bool, streams: int) -> Settings:
        return Settings(
            client=client,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.MAX_CONCURRENT_STREAMS: streams,
                SettingCodes.INITIAL_WINDOW_SIZE: self._limits.stream_window,
                SettingCodes.MAX_FRAME_SIZE: self._limits.frame_bytes,
                SettingCodes.MAX_HEADER_LIST_SIZE: self._limits.header_list_bytes,
            },
        )

    def begin(self) -> None:
        """Say preface and settings, and open the connection's window."""
        self._h2.initiate_connection()
        client = self._h2.config.client_side
        self._h2.local_settings = self._settings(client, self._limits.streams + _ROOM_TO_REFUSE)
        self._flush()
        more = self._limits.connection_window - frames.FIRST_WINDOW
        if more > 0:
            self._sender.control(frames.window_update(0, more))

    def receive(self, data: bytes) -> list[Event]:
        """Give h2 the client's preface, or one whole frame; raises `PeerFault`."""
        try:
            events = self._h2.receive_data(data)
        except DenialOfServiceError as error:
            self._h2.clear_outbound_data_buffer()
            raise PeerFault(frames.ENHANCE_YOUR_CALM, "too many or too large headers") from error
        except ProtocolError as error:
            # h2 has written a GOAWAY of its own; ours says more.
            self._h2.clear_outbound_data_buffer()
            raise PeerFault(int(error.error_code), _text(error)) from error
        self._flush()
        return events

    def call(self, headers: Written) -> int:
        """Open a stream by `headers`; raises `Unavailable` if the peer takes no more of them."""
        try:
            stream = self._h2.get_next_available_stream_id()
            self._h2.send_headers(stream, headers)
        except TooManyStreamsError as error:
            raise Unavailable(
                "BUSY", "the peer takes no more streams on this connection at once"
            ) from error
        except NoAvailableStreamIDError as error:
            raise Unavailable(
                "DRAINING", "this connection has had all the streams that it can have"
            ) from error
        self._flush()
        return stream

    def headers(self, stream: int, headers: Written, *, end: bool = False) -> None:
        """Send headers, or with `end` what ends the stream."""
        self._h2.send_headers(stream, headers, end_stream=end)
        self._flush()

    def half_close(self, stream: int) -> None:
        """Say that nothing more is sent on `stream`."""
        self._h2.end_stream(stream)
        self._flush()

    def reset(self, stream: int, code: int) -> None:
        """End `stream` in both directions."""
        self._h2.reset_stream(stream, code)
        self._flush()

    def ping(self) -> None:
        """Ask whether the peer is there."""
        self._h2.ping(b"eaisping")
        self._flush()

    @property
    def last_stream(self) -> int:
        """The highest stream that the peer opened."""
        return self._h2.highest_inbound_stream_id

    @property
    def peer_window(self) -> int:
        """What may be sent on a new stream, in bytes."""
        return self._h2.remote_settings.initial_window_size

    @property
    def peer_frame_bytes(self) -> int:
        """The largest frame that the peer takes."""
        return self._h2.remote_settings.max_frame_size

    def is_idle(self, stream: int) -> bool:
        """Whether `stream` is one that nobody has opened yet."""
        ours = bool(stream % 2) == self._h2.config.client_side
        opened = self._h2.highest_outbound_stream_id if ours else self.last_stream
        return stream > opened

    def keep_header_table(self) -> None:
        """The peer's settings may have named a larger table: keep ours as small as it is."""
        if self._h2.encoder.header_table_size > _HEADER_TABLE_BYTES:
            self._h2.encoder.header_table_size = _HEADER_TABLE_BYTES

    def _flush(self) -> None:
        self._sender.control(self._h2.data_to_send())


def _text(error: ProtocolError) -> str:
    return str(error)[:100] or type(error).__name__
