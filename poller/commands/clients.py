"""The clients of Harbor, Telegram and the dead man's switch, made as the configuration says."""

from __future__ import annotations

from poller import measures
from poller.config import Config
from poller.deadline import Deadline
from poller.harbor import Harbor
from poller.heartbeat import Heartbeat
from poller.measures import Sink
from poller.telegram import Telegram


def harbor(config: Config, *, sink: Sink = measures.ignore, deadline: Deadline | None = None) -> Harbor:
    c = config.harbor
    return Harbor(
        c.url,
        c.username,
        c.password,
        ca_file=c.ca_file,
        verify=c.verify,
        proxy=c.proxy,
        timeout=c.timeout,
        sink=sink,
        deadline=deadline,
    )


def telegram(config: Config, *, sink: Sink = measures.ignore, deadline: Deadline | None = None) -> Telegram:
    c = config.telegram
    return Telegram(c.bot_token, api_url=c.api_url, proxy=c.proxy, sink=sink, deadline=deadline)


def heartbeat(config: Config) -> Heartbeat | None:
    """None: there is no dead man's switch."""
    c = config.heartbeat
    secrets = config.secrets
    return Heartbeat(c.url, c.fail_url, proxy=c.proxy, ca_file=c.ca_file, secrets=secrets) if c.url else None
