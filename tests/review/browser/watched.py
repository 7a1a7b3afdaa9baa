"""Notes everything that must never happen while a page is open: errors, blocked content, requests to other machines."""

from __future__ import annotations

from dataclasses import dataclass, field

from playwright.sync_api import BrowserContext, ConsoleMessage, Request, Response

HARMLESS = "Ignoring tile"
"""How OpenSeadragon notes that a layer was replaced while one of its tiles was on the way."""
NOTE_VIOLATIONS = """
addEventListener('securitypolicyviolation', event =>
    console.error(`content security policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`))
"""


@dataclass
class Watch:
    """What went wrong in a browser context, and every response it got.

    `allowed` holds answers that a test provokes, such as 409: Chromium writes each of them to the console.
    """

    origin: str
    wrong: list[str] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    allowed: set[int] = field(default_factory=set)

    def follow(self, context: BrowserContext) -> None:
        context.add_init_script(NOTE_VIOLATIONS)
        context.on("request", self._request)
        context.on("response", self._response)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.wrong.append(f"page error: {error.error}"))

    def _request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.origin}/", f"blob:{self.origin}/", "data:")):
            self.wrong.append(f"request to another machine: {request.url}")

    def _response(self, response: Response) -> None:
        self.responses.append(response)
        if response.status >= 400 and response.status not in self.allowed:
            self.wrong.append(f"{response.status} for {response.request.method} {response.url}")

    def _console(self, message: ConsoleMessage) -> None:
        answered = any(f"status of {status}" in message.text for status in self.allowed)
        harmless = message.type == "warning" and message.text.startswith(HARMLESS)
        if message.type in ("error", "warning") and not answered and not harmless:
            self.wrong.append(f"console {message.type}: {message.text} {message.location.get('url', '')}")
