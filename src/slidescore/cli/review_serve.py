"""`slidescore review RUN`: the review app in the browser."""

from __future__ import annotations

import os
import secrets
import sys
import threading
import webbrowser
from pathlib import Path

import click

TOKEN_VARIABLE = "SLIDESCORE_REVIEW_TOKEN"
"""Environment variable for --token, which other users of a machine cannot see, as they can see command lines."""


@click.command(name="serve")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--slides", type=click.Path(path_type=Path), help="Folder of the slides.  [default: where they were]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; others need --token.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Port to listen on.  [default: a free one]")
@click.option("--token", envvar=TOKEN_VARIABLE, help="What lets a browser in.  [default: a new one]")
@click.option("--reviewer", default="", help="Name that the page fills in for you.")
@click.option("--blind", is_flag=True, help="Blind reading: nothing is shown that the machine found.")
@click.option("--no-browser", is_flag=True, help="Do not open the browser.")
def serve(
    run: Path,
    slides: Path | None,
    host: str,
    port: int,
    token: str | None,
    reviewer: str,
    blind: bool,
    no_browser: bool,
) -> None:
    """Show the slides of RUN in the browser, worst first, to look at cells, correct them and sign off.

    Only this machine can reach it unless --host says otherwise. Reviews are added to reviews.sqlite in RUN; the results
    of the run are never changed. Ctrl-C stops it.
    """
    from slidescore.audit.requests import parse_reviewer
    from slidescore.review.app import make_app
    from slidescore.review.desk import ReviewOptions
    from slidescore.review.guard import LOOPBACK
    from slidescore.review.server import TOKEN_BYTES, address_of, bind, choose_token, host_names
    from slidescore.review.server import serve as serve_app
    from slidescore.review.viewer_file import check_viewer

    check_viewer()
    token = choose_token(token, host)
    reviewer = parse_reviewer(reviewer) if reviewer else ""
    try:
        with bind(host, port) as bound:
            number = bound.getsockname()[1]
            origin = address_of(host, number)
            # The browser's command line shows its address to all users of this machine, so that one opens once.
            ticket = "" if no_browser or not _has_screen() else secrets.token_urlsafe(TOKEN_BYTES)
            app = make_app(run, slides, ReviewOptions(token, host_names(host), number, reviewer, blind, ticket))
            if host not in LOOPBACK:
                text = "others can read along: this is HTTP, which nothing encrypts; use it in a network that you trust"
                click.echo(f"warning: {text}", err=True)
            opened = f"{origin}/?ticket={ticket}" if ticket else None
            serve_app(app, bound, lambda: _announce(run, f"{origin}/?token={token}", opened))
    except KeyboardInterrupt:
        # Not raised where Ctrl-C was to be ignored when the server was started, as behind a shell's `&`.
        pass
    click.echo("stopped", err=True)


def _announce(run: Path, address: str, opened: str | None) -> None:
    """Say where the review is, and open `opened` in the browser."""
    click.echo(f"Review of {run.resolve().name} at\n{address}\nCtrl-C stops it.")
    # Standard output may be a pipe, at whose end somebody waits for this.
    sys.stdout.flush()
    if opened:
        # Aside: some desktops take seconds to find their browser.
        threading.Thread(target=webbrowser.open, args=(opened,), daemon=True).start()


def _has_screen() -> bool:
    """Whether there is a screen to open a browser on; without one a browser for terminals would take this one."""
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
