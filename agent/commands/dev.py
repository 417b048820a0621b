"""`dev slack`: a Slack on this machine, with a page that shows it as a person would see it."""

from __future__ import annotations

from agent.commands.output import console
from agent.domain.errors import Unavailable

CHANNELS = ("#general", "#bike-demand", "#cardiology-ml", "#hospital-feeds", "#weather")
"""One of everybody's, and those that own the models of the demo."""


def slack(port: int, http: str) -> None:
    """Serve until Ctrl-C. Raises: Unavailable when the port is taken."""
    from agent.doors.slack.loopback.page import routes
    from agent.doors.slack.loopback.server import LoopbackSlack

    made = LoopbackSlack(port=port)
    made.add_routes(routes(made))
    try:
        made.start()
    except OSError as error:
        raise Unavailable(f"127.0.0.1:{port} cannot be opened ({error.strerror}); give another --port.") from None
    for name in ("ann", "ben", "cat"):
        made.add_user(name)
    for name in CHANNELS:
        made.add_channel(name, "ann", "ben", "cat")
    if http:
        made.deliver_to(http)
    secret = f"SLACK_SIGNING_SECRET={made.signing_secret} " if http else f"SLACK_APP_TOKEN={made.app_token} "
    console.print(f"A Slack without Slack: open [bold]{made.url}[/]. Everything in it is gone when it ends.")
    console.print("In another terminal:")
    settings = f"export SLACK_API_URL={made.api_url} SLACK_BOT_TOKEN={made.bot_token} {secret}"
    console.print(f"  {settings.strip()}", soft_wrap=True, highlight=False)
    console.print("  watchkeeper serve    # in your workspace; or: watchkeeper demo", highlight=False)
    console.print("Ctrl-C ends it.")
    try:
        made.wait()
    except KeyboardInterrupt:
        made.stop()
