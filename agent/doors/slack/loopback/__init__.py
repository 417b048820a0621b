"""The loopback Slack: `from agent.doors.slack.loopback.server import LoopbackSlack`; its docstring is its guide.

A development tool and test double. Nothing that runs in production imports it.
"""
