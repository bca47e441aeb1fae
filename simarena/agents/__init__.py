"""Who sits in a seat: language models, scripted reference policies, people."""
