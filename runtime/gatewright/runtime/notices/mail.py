"""Messages by e-mail, through the configured server."""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import ssl
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage

from . import messages
from .delivery import DeliveryError
from .outbox import Notice
from .receivers import Mail

TIMEOUT = 15.0  # seconds for each word of the server
SUBJECT = 200  # characters
THREADS = 8  # of each address; the event loop's own may be taken up by agents


class MailChannel:
    """One address. `smtplib` waits, so each attempt has a thread."""

    def __init__(self, mail: Mail, password: str, to: str, public_url: str) -> None:
        self._mail = mail
        self._password = password
        self._to = to
        self._public_url = public_url
        self._context = ssl.create_default_context()
        self._threads = ThreadPoolExecutor(THREADS, "gatewright-mail")

    async def deliver(self, notice: Notice) -> None:
        """See `Channel.deliver`."""
        message = compose(notice, sender=self._mail.sender, to=self._to, public_url=self._public_url)
        await asyncio.get_running_loop().run_in_executor(self._threads, self._send, message)

    async def close(self) -> None:
        """See `Channel.close`; each attempt has a connection of its own."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _send(self, message: EmailMessage) -> None:
        try:
            with contextlib.closing(self._connect()) as server:
                if self._mail.security == "starttls":
                    server.starttls(context=self._context)
                if self._mail.username:
                    server.login(self._mail.username, self._password)
                server.send_message(message)
                with contextlib.suppress(smtplib.SMTPException, OSError):  # it has been taken
                    server.quit()
        except smtplib.SMTPResponseException as error:
            said = (
                error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
            )
            raise DeliveryError(f"answered {error.smtp_code}: {messages.line(said)[:200]}") from error
        except (smtplib.SMTPException, OSError) as error:
            raise DeliveryError(f"{type(error).__name__}: {messages.line(str(error))[:200]}") from error

    def _connect(self) -> smtplib.SMTP:
        host, port = self._mail.host, self._mail.port
        if self._mail.security == "tls":
            return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT, context=self._context)
        return smtplib.SMTP(host, port, timeout=TIMEOUT)


def compose(notice: Notice, *, sender: str, to: str, public_url: str) -> EmailMessage:
    """The message. Its id is that of the notice, so that one that came twice is shown once."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = to
    message["Subject"] = messages.title(notice)[:SUBJECT]
    message["Date"] = notice.created
    message["Message-ID"] = f"<{notice.id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday reply, please
    message.set_content(messages.text(notice, public_url))
    return message
