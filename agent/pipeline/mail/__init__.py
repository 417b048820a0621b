"""Events as mails: plain text, HTML that every mail program shows, pictures inside, reports attached."""
