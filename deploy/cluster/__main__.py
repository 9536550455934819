"""`python -m deploy.cluster`: PostgreSQL and a broker for whoever wants to try or develop on them."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from gatewright.agents.errors import GatewrightError

from . import jars
from .brokers import broker
from .postgresql import PostgreSQL
from .processes import Server


@click.command()
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".gatewright/cluster"),
    show_default=True,
    help="Where the data is kept; what is there already is used again.",
)
@click.option("--kafka/--no-kafka", default=True, help="Start a broker too, or PostgreSQL alone.")
@click.option("--postgresql-port", type=click.IntRange(0, 65535), default=0, help="0 is any free one.")
@click.option("--kafka-port", type=click.IntRange(0, 65535), default=0, help="0 is any free one.")
def main(folder: Path, kafka: bool, postgresql_port: int, kafka_port: int) -> None:
    """Start PostgreSQL and Apache Kafka, say where they are, and stop them at Ctrl-C or SIGTERM.

    They listen on 127.0.0.1 and trust whoever reaches them: whoever is on this machine.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    running: list[Server] = []
    try:
        database = PostgreSQL(folder / "postgresql", port=postgresql_port)
        running.append(database)
        database.start()
        said = {"database": database.ensure_database("gatewright")}
        if kafka:
            if (reason := jars.missing()) is not None:
                click.echo(f"Tansu stands for Apache Kafka and forgets all when it ends. {reason}", err=True)
            bus = broker(folder / "kafka", port=kafka_port)
            running.append(bus)
            bus.start()
            said["bus"] = f"kafka://{bus.bootstrap}"
        click.echo(" ".join(f"--{name} {url}" for name, url in said.items()))
        click.echo(" ".join(f"GATEWRIGHT_{name.upper()}={url}" for name, url in said.items()))
        while True:
            signal.pause()
    except GatewrightError as error:
        raise click.ClickException(str(error)) from error
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C would break off the stopping
        for server in reversed(running):
            server.stop()


def _end(number: int, frame: object) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    main(prog_name="python -m deploy.cluster")
