"""The slidescore command: a group whose verbs are one file each, imported when they are used.

To add a verb: one file here with a click command named like the verb, and one line in VERBS.
"""

from __future__ import annotations

import logging
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import NoReturn

import click

from slidescore.errors import (
    AssayError,
    InputError,
    RunFolderBusyError,
    RunFolderError,
    SlidescoreError,
    place_of,
    trace_of,
)

VERBS = {
    "score": "Score slides and directories of slides into a run folder.",
    "info": "Show what a slide file is and how it would be read.",
    "rescore": "Apply another assay to a run's measurements, without reading pixels.",
    "review": "Look at slides in the browser, correct cells, sign off; check and export the reviews.",
    "validate": "Compare a run's scores with those of blinded readers.",
    "cohort": "Relate the scores of patients to response and survival, by a declared plan.",
    "train": "Train models from labels, such as a study's tumor model.",
    "calibrate": "Make an assay of a laboratory's own from its control slides.",
    "monitor": "Chart controls, stains and glass over batches, and hold batches that moved.",
    "verify": "Score a run's cells again, and check every byte of it.",
    "export": "Write the cells of a run as CSV or QuPath GeoJSON.",
    "assay": "List, show and check assays.",
    "doctor": "Check that this installation can score.",
}

EXIT_INTERNAL, EXIT_USAGE, EXIT_SOME_FAILED, EXIT_BUSY, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 2, 3, 75, 130, 143
EXIT_HELD = 4
"""`monitor` put a batch on hold."""


class LazyGroup(click.Group):
    """Knows its verbs by name, so that `--help` imports nothing heavy."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of the work."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the file of a verb."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = getattr(import_module(f"slidescore.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="slidescore")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Score CXCR4 immunohistochemistry on whole-slide images. Research use only."""
    # Libraries log what they then raise; the error itself is the one line a user reads.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    if debug:
        click.get_current_context().obj = {"debug": True}


class _Terminated(BaseException):
    """SIGTERM arrived."""


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated


def main() -> None:
    """Run the command line and exit with its code."""
    signal.signal(signal.SIGTERM, _terminate)
    debug = "--debug" in sys.argv
    try:
        code = cli.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_USAGE)
    except (KeyboardInterrupt, click.Abort):
        _say("stopped; run the same command again to go on")
        sys.exit(EXIT_INTERRUPTED)
    except _Terminated:
        _say("terminated; run the same command again to go on")
        sys.exit(EXIT_TERMINATED)
    except SlidescoreError as error:
        if debug:
            click.echo(trace_of(error), err=True)
        _say(f"error: {error}")
        sys.exit(_exit_code(error))
    except BrokenPipeError:
        sys.exit(EXIT_INTERNAL)
    except Exception as error:  # noqa: BLE001 - the last line of defence: one line, unless --debug
        if debug:
            click.echo(trace_of(error), err=True)
        # Not its words, nor with --debug: they can quote a slide's metadata.
        _say(f"internal error: {type(error).__name__} {place_of(error)} (run with --debug and report it)")
        sys.exit(EXIT_INTERNAL)


def _exit_code(error: SlidescoreError) -> int:
    if isinstance(error, RunFolderBusyError):
        return EXIT_BUSY
    if isinstance(error, (AssayError, InputError, RunFolderError, KeyError, ValueError)):
        return EXIT_USAGE
    return EXIT_SOME_FAILED


def _say(text: str) -> None:
    click.echo(f"slidescore: {' '.join(text.split())}", err=True)
