"""Train the model and generate with it: tokenizers, training, differential privacy, sampling, generation. No Beam."""

if __name__ != "linesmith.model":
    raise ImportError("this package has no name of its own: import linesmith.model")
