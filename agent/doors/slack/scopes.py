"""Which scope each method of the Web API needs of a bot; what `doctor slack` and the manifest are held against."""

from __future__ import annotations

APP_LEVEL = "connections:write"
METHODS: dict[str, str] = {
    "auth.test": "",
    "apps.connections.open": APP_LEVEL,
    "assistant.threads.setStatus": "assistant:write",
    "assistant.threads.setSuggestedPrompts": "assistant:write",
    "assistant.threads.setTitle": "assistant:write",
    "bots.info": "users:read",
    "chat.appendStream": "chat:write",
    "chat.delete": "chat:write",
    "chat.getPermalink": "",
    "chat.postEphemeral": "chat:write",
    "chat.postMessage": "chat:write",
    "chat.startStream": "chat:write",
    "chat.stopStream": "chat:write",
    "chat.update": "chat:write",
    "conversations.history": "channels:history",
    "conversations.info": "channels:read",
    "conversations.join": "channels:join",
    "conversations.list": "channels:read",
    "conversations.members": "channels:read",
    "conversations.open": "im:write",
    "conversations.replies": "channels:history",
    "files.completeUploadExternal": "files:write",
    "files.delete": "files:write",
    "files.getUploadURLExternal": "files:write",
    "files.info": "files:read",
    "reactions.add": "reactions:write",
    "users.info": "users:read",
    "views.open": "",
    "views.publish": "",
    "views.push": "",
    "views.update": "",
}
WITHOUT_A_CALL = {
    "app_mentions:read",  # the event app_mention
    "commands",  # /watch
    "groups:history",  # conversations.history and replies in private channels
    "groups:read",  # conversations.list of them
    "im:history",  # the event message.im
    "metadata.message:read",  # the keys of our own messages in conversations.history
}
NEEDED = {
    "app_mentions:read",
    "assistant:write",
    "channels:history",
    "channels:read",
    "chat:write",
    "commands",
    "files:write",
    "groups:history",
    "groups:read",
    "im:history",
    "im:write",
    "metadata.message:read",
    "users:read",
}
"""What the manifest asks for."""
