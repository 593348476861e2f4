"""Messages by e-mail, sent by the real library to a server that speaks SMTP."""

from __future__ import annotations

import asyncio
import email
from collections.abc import AsyncIterator
from email.message import Message as Mail

import pytest

from bridge.model.outside import Message
from bridge.outside.options import Channel, OutsideSettings
from bridge.outside.reach import Outside


class Post:
    """A mail server that takes everything; `mails` is what came."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Source: RFC 5321; the least of it."""
        writer.write(b"220 post\r\n")
        while line := await reader.readline():
            word = line[:4].upper()
            if word == b"DATA":
                writer.write(b"354 go on\r\n")
                text = await reader.readuntil(b"\r\n.\r\n")
                self.mails.append(email.message_from_bytes(text))
            writer.write(b"221 bye\r\n" if word == b"QUIT" else b"250 fine\r\n")
            if word == b"QUIT":
                break
        writer.close()


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    post = Post()
    server = await asyncio.start_server(post.serve, "127.0.0.1", 0)
    post.port = server.sockets[0].getsockname()[1]
    yield post
    server.close()


async def test_mails_of_one_remediation_refer_to_the_same_id_and_no_label_adds_a_header(post: Post) -> None:
    """Fault 44: a line break in a label ends no header."""
    url = f"mailto://127.0.0.1:{post.port}?from=bridge@shop.example&to=team@shop.example&mode=insecure"
    outside = Outside(OutsideSettings(channels={"mail": Channel(url=url)}))
    for title in ("started\r\nBcc: all@evil.example", "repaired"):
        await outside.notify("mail", Message(title=title, text="<b>3 of 3</b> pods", thread="r1"))
    await outside.close()
    assert len(post.mails) == 2
    for mail in post.mails:
        assert mail["References"] == mail["In-Reply-To"] == "<r1@alertbridge>"
        assert mail["Bcc"] is None
        assert mail["To"] is not None
    assert post.mails[0]["Message-ID"] != post.mails[1]["Message-ID"]
