"""Train the LSTM: batches of records, the network, back-propagation, the loop and its checkpoints."""
