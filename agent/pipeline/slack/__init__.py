"""What people see in Slack, composed by code from the records; never by a language model."""
