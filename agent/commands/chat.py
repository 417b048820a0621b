"""`chat`: a conversation in the terminal, with its history and the evidence behind each answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from agent.commands.ask import caller_of, place_of
from agent.commands.output import console
from agent.commands.speaking import Speaking
from agent.conversation import turns
from agent.conversation.chat import reply
from agent.conversation.deadline import Stopped
from agent.conversation.desk import Caller
from agent.domain.errors import WatchkeeperError
from agent.domain.wording import moment, visible
from agent.pipeline.desk import desk_of
from agent.pipeline.services import Services
from agent.store.tables import Conversation, Message

HELP = """Ask in plain words. What begins with a slash:
  /show [N]       what the last answer rests on: each call and what it gave; N: the whole of one, as JSON
  /history        this conversation
  /conversations  your latest ones
  /up [reason]    the last answer was good     /down [reason]  it was not; why?
  /new            begin another conversation   /help           this
  /quit           leave (Ctrl-C stops an answer)"""


class Chat:
    """One person's talk at one terminal. `read` gives the next line and raises EOFError at the end."""

    def __init__(self, services: Services, caller: Caller, place: str, read: Callable[[str], str] = input) -> None:
        self.services, self.caller, self.place, self.read = services, caller, place, read
        self.last = ""

    def run(self) -> None:
        """Until the person leaves."""
        models = ", ".join(self.services.llm.chain) or "offline"
        console.print(f"Watchkeeper ({models}). /help says what there is, /quit leaves.", style="dim", markup=False)
        while True:
            try:
                line = self.read("> ").strip()
            except (EOFError, KeyboardInterrupt):
                console.print()
                return
            if line.lower() in ("/quit", "/exit", "quit", "exit", "bye"):
                return
            try:
                self.take(line)
            except WatchkeeperError as error:
                console.print(str(error), style="red", markup=False)

    def take(self, line: str) -> None:
        """One line: a question, or a word with a slash."""
        word, _, rest = line.partition(" ")
        if not line:
            return
        if not line.startswith("/"):
            self._ask(line)
        elif word == "/show":
            self._show(rest.strip())
        elif word == "/history":
            self._history()
        elif word == "/conversations":
            self._conversations()
        elif word in ("/up", "/down"):
            self._judge(word[1:], rest.strip())
        elif word == "/new":
            self.place, self.last = place_of(self.caller), ""
            console.print("A new conversation.", style="dim")
        else:
            console.print(HELP, markup=False)

    def _ask(self, question: str) -> None:
        try:
            answer = reply(desk_of(self.services), self.place, question, self.caller, Speaking())
        except (Stopped, KeyboardInterrupt):
            console.print("\nStopped.", style="dim")
            return
        self.last = answer.message
        if answer.usage["calls"]:
            console.print(f"{answer.model}: {answer.usage['told']}", style="dim", markup=False)

    def _show(self, number: str) -> None:
        with self.services.store.read() as session:
            row = session.get(Message, self.last) if self.last else None
            calls: list[dict[str, Any]] = row.document.get("calls", []) if row is not None else []
            sources: list[str] = row.document.get("sources", []) if row is not None else []
        if not calls:
            console.print("There is no answer yet, or it needed no look at the records.", markup=False)
            return
        if number.isdigit() and 1 <= int(number) <= len(calls):
            console.print(json.dumps(calls[int(number) - 1], indent=2, ensure_ascii=False), markup=False)
            return
        for at, call in enumerate(calls, 1):
            console.print(f"{at}. {_told(call)}", markup=False)
        if sources:
            console.print(f"Cited: {', '.join(sources)}", markup=False)

    def _history(self) -> None:
        with self.services.store.read() as session:
            row = session.scalar(select(Conversation).where(Conversation.key == self.place))
            said = [] if row is None else turns.messages(session, row, self.caller)
            for message in said:
                who = "you" if message.role == "person" else "watchkeeper"
                console.print(f"{moment(message.at)} {who}: {message.text}", markup=False)
            if not said:
                console.print("Nothing was said yet.")

    def _conversations(self) -> None:
        with self.services.store.read() as session:
            for row in turns.listed(session, self.caller):
                console.print(f"{row.id}  {moment(row.updated_at)}  {visible(row.title, 80)}", markup=False)

    def _judge(self, thumb: str, reason: str) -> None:
        if not self.last:
            console.print("There is no answer yet.")
            return
        with self.services.store.write() as session:
            turns.judged(session, self.last, self.caller, thumb, reason, self.services.now(session))
        console.print("Kept, thank you.", style="dim")


def command(services: Services, person: str | None, conversation: str | None) -> None:
    """Talk; `conversation` goes on with an earlier one. Raises: NotFound when it is not this person's."""
    caller = caller_of(person)
    place = place_of(caller)
    if conversation is not None:
        with services.store.read() as session:
            place = turns.by_id(session, conversation, caller).key
    Chat(services, caller, place).run()


def _told(call: dict[str, Any]) -> str:
    """One tool call on a line: what was asked, how it went, over which window, on how many rows, where to look."""
    result = call["result"]
    given = ", ".join(f"{key}={visible(value, 240)}" for key, value in call["arguments"].items())
    parts = [f"{visible(call['tool'], 60)}({given}): {result['status']}"]
    if result.get("message"):
        parts.append(visible(result["message"], 200))
    if result.get("window"):
        parts.append(" to ".join(str(end) for end in result["window"]))
    if result.get("n") is not None:
        parts.append(f"n = {result['n']}" + (f" {result['unit']}" if result.get("unit") else ""))
    return "; ".join(parts) + (f"  [{visible(result['source'], 200)}]" if result.get("source") else "")
