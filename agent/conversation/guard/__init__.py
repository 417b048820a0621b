"""What stands between a language model and a person: untrusted text fenced going in, answers checked coming out."""
