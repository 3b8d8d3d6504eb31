"""The learning half of Linesmith: configuration, tokenizers, the LSTM, training, sampling and artefacts. No Beam here."""
