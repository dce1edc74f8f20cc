"""Page tokens: where a decision's results go on, signed so that nobody can make one up."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.documents import Filter, filter_to_proto
from honeyguide.errors import InvalidArgument

SIGNATURE_BYTES = 12
TOKEN_CHARS_MAX = 512

_decoder = msgspec.json.Decoder(tuple[str, int, str])


@dataclass(frozen=True, slots=True)
class PageToken:
    """The decision, the number of results shown so far, and the scope (query and filter) it was made for."""

    decision_id: str
    offset: int
    scope: str


class PageTokens:
    """Writes and reads tokens with one secret, the same on all replicas.

    share: given a replica's secret, returns that of all, which is the given one if there was none; None = it was set.
    """

    def __init__(self, secret: bytes, share: Callable[[bytes], Awaitable[bytes]] | None = None) -> None:
        self._secret = secret
        self._share = share

    async def agree(self) -> None:
        """Takes the secret of all replicas, and shares ours again where what is shared was lost.

        Raises:
            Unavailable: where it is shared does not answer.
        """
        if self._share is not None:
            self._secret = await self._share(self._secret)

    def write(self, token: PageToken) -> str:
        """The token as text."""
        body = msgspec.json.encode((token.decision_id, token.offset, token.scope))
        return base64.urlsafe_b64encode(self._sign(body) + body).decode()

    async def read(self, text: str) -> PageToken:
        """The token that was written.

        Raises:
            InvalidArgument: if it is not one of ours.
            Unavailable: it is not as far as we know, and where the secret is shared does not answer.
        """
        try:
            return self._read(text)
        except InvalidArgument:
            await self.agree()  # others may have another secret by now
            return self._read(text)

    def _read(self, text: str) -> PageToken:
        try:
            if len(text) > TOKEN_CHARS_MAX:
                raise ValueError
            raw = base64.urlsafe_b64decode(text.encode("ascii"))
            signature, body = raw[:SIGNATURE_BYTES], raw[SIGNATURE_BYTES:]
            if not hmac.compare_digest(signature, self._sign(body)):
                raise ValueError
            decision_id, offset, scope = _decoder.decode(body)
        except (ValueError, binascii.Error, msgspec.DecodeError):
            raise InvalidArgument("page_token", "is forged or damaged; send next_page_token as it came") from None
        return PageToken(decision_id, offset, scope)

    def _sign(self, body: bytes) -> bytes:
        return hmac.digest(self._secret, body, "sha256")[:SIGNATURE_BYTES]


def scope_of(query: str, filter: Filter) -> str:
    """What a token is bound to: a digest of query and filter."""
    message: document_pb2.Filter = filter_to_proto(filter)
    digest = hashlib.sha256(query.encode("utf-8", "surrogatepass"))
    digest.update(message.SerializeToString(deterministic=True))
    return digest.hexdigest()[:16]
