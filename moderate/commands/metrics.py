"""``moderate metrics``: the numbers, for Prometheus to scrape."""

import signal
from threading import Event

import click
from prometheus_client import CollectorRegistry, start_http_server

from moderate.kinds import all_kinds
from moderate.settings import load_settings
from moderate.watch.prometheus import ServiceCollector


@click.command()
@click.option("--port", type=int, help="Instead of METRICS_PORT; 0: any.")
@click.option(
    "--host",
    default="0.0.0.0",  # noqa: S104  # a container's port
    show_default=True,
    help="Address.",
)
def metrics(port: int | None, host: str) -> None:
    """Answer at /metrics until told to stop."""
    settings = load_settings()
    registry = CollectorRegistry()
    registry.register(ServiceCollector(settings, all_kinds(settings)))
    wanted = settings.operations.metrics_port if port is None else port
    stopped = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    server, thread = start_http_server(wanted, host, registry)
    click.echo(f"metrics at http://{host}:{server.server_port}/metrics")
    stopped.wait()
    server.shutdown()
    thread.join()
    server.server_close()
