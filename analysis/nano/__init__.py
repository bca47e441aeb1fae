"""How the nano language models that ship under agents/nano are made: corpus, tokenizer, training, exams."""
