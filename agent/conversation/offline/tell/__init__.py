"""The sentences of an answer: from what the tools gave, each with the ids that it rests on."""
